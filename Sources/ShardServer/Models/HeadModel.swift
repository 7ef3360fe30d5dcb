import Engine
import InferenceCore
import Wire

/// A model that the head has loaded: its engine, how its callers see it, and the link to the stages behind.
package final class HeadModel: HostedModel {
    /// Requests still open this long after the server drained are lost anyway: their calls are over.
    private static let grace = Duration.seconds(2)
    /// A next stage that nobody has reached for this long counts as gone, not as slow.
    private static let connectPatience = Duration.seconds(3)
    /// Longest wait for the first token; loading on the later stages is part of it.
    private static let firstTokenPatience = Downstream.defaultJoinTimeout

    private static let brokenNumbers = "it computes no finite number; its weights are damaged"

    package let served: ServedModel
    package let engine: InferenceEngine
    package let group: ReplicaGroup
    private let link: WirePipelineLink?
    private let onStopped: @Sendable (EngineStatus) -> Void

    /// - Parameters:
    ///   - link: the engine's; nil when there is one stage only.
    ///   - onStopped: told the engine's last status.
    package init(
        served: ServedModel, engine: InferenceEngine, group: ReplicaGroup, link: WirePipelineLink?,
        onStopped: @escaping @Sendable (EngineStatus) -> Void = { _ in }
    ) {
        self.served = served
        self.engine = engine
        self.group = group
        self.link = link
        self.onStopped = onStopped
    }

    /// Why no request would be served now, with what a later stage had against joining; nil when one would.
    package func problem(now: ContinuousClock.Instant = .now) -> String? {
        if engine.status.isBroken { return Self.brokenNumbers }
        guard let problem = engine.status.problem(now: now) else { return nil }
        guard let refusal = link?.refusal else { return problem }
        return "\(problem): \(refusal.message)"
    }

    /// What is wrong with this model and no other: it computes no numbers, or a later stage that can be reached does not
    /// take it or has never run a step of it. nil: nothing, or something that all models suffer from.
    package func fault(now: ContinuousClock.Instant = .now) -> InferenceError? {
        let status = engine.status
        if status.isBroken {
            return InferenceError(
                code: .dataLoss,
                message: "model \(served.name) is unusable: \(Self.brokenNumbers)")
        }
        guard status.problem(now: now) != nil, let link else { return nil }
        if let refusal = link.refusal { return InferenceError(refusal: refusal, model: served.name) }
        guard status.lastTokenTime == nil, link.isFlapping else { return nil }
        return InferenceError(
            code: .dataLoss, message: "model \(served.name) is unusable: a later stage cannot run it; its log says why")
    }

    package func run() async {
        await link?.run()
    }

    /// Waits for a token through all stages.
    ///
    /// A stage that cannot be reached is no reason to give the model up: it stays loaded, the link goes on trying, and
    /// requests are told. A stage that refuses the model is, and a model whose numbers are none.
    package func waitUntilUsable() async throws {
        let start = ContinuousClock.now
        while engine.status.problem() != nil, start.duration(to: .now) < Self.firstTokenPatience {
            if let fault = fault() { throw fault }
            if let link, !link.isConnected, start.duration(to: .now) > Self.connectPatience { return }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    package func stop() async {
        await engine.shutdown(deadline: .now + Self.grace)
        link?.stop()
        onStopped(engine.status)
    }
}

extension InferenceError {
    /// What a later stage had against a model.
    fileprivate init(refusal: RPCError, model: String) {
        let message = "model \(model): a later stage refused it: \(refusal.message)"
        switch refusal.code {
        case .resourceExhausted: self.init(code: .outOfMemory, message: message, cause: refusal)
        case .dataLoss: self.init(code: .dataLoss, message: message, cause: refusal)
        case .unimplemented: self.init(code: .unsupportedModel, message: message, cause: refusal)
        default: self.init(code: .notReady, message: message, cause: refusal)
        }
    }
}
