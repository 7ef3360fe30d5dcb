import Logging
import ServiceLifecycle
import ServiceSupport
import Synchronization
import Wire
import WireProtocols

/// Knows whether tokens flow: looks at the head several times a second, in the background, so that asking costs nothing.
package final class ReadinessMonitor: Service, Sendable {
    /// Longest time since a token went through all stages.
    static let maximumTokenAge = 2_500
    /// Longest time since the head last answered.
    static let maximumPollAge = Duration.seconds(1)

    /// What is known at one moment.
    package struct Readiness: Sendable, Equatable {
        /// Why not ready, for people; nil when ready.
        package var reason: String?
        /// The head's last answer, however old; nil when it never answered.
        package var group: Fathom_Shard_V1_DescribeResponse?

        package var isReady: Bool { reason == nil }
        /// The models of the group, loaded or not; the first is what a request gets that names none.
        package var models: [Fathom_Shard_V1_ModelDescription] { group?.models ?? [] }
    }

    private struct State {
        var group: Fathom_Shard_V1_DescribeResponse?
        var answeredAt: ContinuousClock.Instant?
        var failure: String?
        var isShuttingDown = false
    }

    private let inference: InferenceClient
    private let interval: Duration
    private let timeout: Duration
    private let metrics: GatewayMetrics
    private let health: HealthState
    private let logger: Logger
    private let state = Mutex(State())

    init(
        inference: InferenceClient, configuration: GatewayConfiguration, metrics: GatewayMetrics, health: HealthState,
        logger: Logger
    ) {
        self.inference = inference
        interval = configuration.pollInterval
        timeout = configuration.pollTimeout
        self.metrics = metrics
        self.health = health
        self.logger = logger
    }

    /// Polls until shutdown.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var wasReady: Bool?
            while !Task.isCancelled {
                await self.poll()
                let readiness = self.current()
                self.metrics.ready.set(readiness.isReady ? 1 : 0)
                self.health.set(serving: readiness.isReady, reason: readiness.reason ?? "")
                if wasReady != readiness.isReady {
                    wasReady = readiness.isReady
                    self.logger.notice(
                        "Readiness changed",
                        metadata: ["ready": "\(readiness.isReady)", "reason": "\(readiness.reason ?? "")"])
                }
                try? await Task.sleep(for: self.interval)
            }
        }
        state.withLock { $0.isShuttingDown = true }
    }

    /// Whether the gateway takes no further requests.
    package var isShuttingDown: Bool { state.withLock { $0.isShuttingDown } }

    /// Looks at the head once.
    func poll() async {
        do {
            let group = try await inference.describe(timeout: timeout)
            state.withLock { state in
                state.group = group
                state.answeredAt = .now
                state.failure = nil
            }
        } catch {
            let code = (error as? RPCError)?.code
            state.withLock { state in
                state.failure = code?.description ?? "no answer"
                // Nobody listens: what the head said before is worth nothing. A late answer is given more time.
                if code == .unavailable { state.answeredAt = nil }
            }
        }
    }

    /// The state at `now`.
    package func current(now: ContinuousClock.Instant = .now) -> Readiness {
        let state = state.withLock { $0 }
        guard let group = state.group else {
            return Readiness(reason: "the model's head has not answered yet (\(state.failure ?? "not asked"))")
        }
        guard let answeredAt = state.answeredAt else {
            return Readiness(
                reason: "the model's head does not answer (\(state.failure ?? "no answer"))", group: group)
        }
        return Readiness(reason: Self.reason(group, age: now - answeredAt, failure: state.failure), group: group)
    }

    /// What is wrong with the loaded models. One that is not loaded, or on its way in or out, is no reason: requests for
    /// it wait. Nor is one that has failed by itself, while there is another.
    private static func reason(
        _ group: Fathom_Shard_V1_DescribeResponse, age: Duration, failure: String?
    ) -> String? {
        if age > maximumPollAge {
            return "the model's head does not answer (\(failure ?? "late"))"
        }
        if let first = group.models.first, group.models.allSatisfy({ $0.state == .failed }) {
            return "no model can be used: \(first.problem)"
        }
        let loaded = group.models.filter { $0.state == .ready }
        if !group.serving {
            let unlinked = group.stages.filter { !$0.linked }.map { "\($0.index)" }
            if !unlinked.isEmpty { return "stages not linked: \(unlinked.joined(separator: ", "))" }
            let troubled = loaded.first { !$0.problem.isEmpty }
            return troubled.map { "model \($0.name): \($0.problem)" } ?? "the model is not serving"
        }
        for model in loaded {
            let age = model.millisecondsSinceLastToken
            guard age != .max else { return "no token was generated yet by model \(model.name)" }
            guard age <= maximumTokenAge else {
                return "the last token of model \(model.name) went through all stages \(age) ms ago"
            }
        }
        return nil
    }
}
