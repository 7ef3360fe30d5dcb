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
        package var model: Fathom_Shard_V1_DescribeResponse?

        package var isReady: Bool { reason == nil }
    }

    private struct State {
        var model: Fathom_Shard_V1_DescribeResponse?
        var answeredAt: ContinuousClock.Instant?
        var failure: String?
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
    }

    /// Looks at the head once.
    func poll() async {
        do {
            let model = try await inference.describe(timeout: timeout)
            state.withLock { $0 = State(model: model, answeredAt: .now, failure: nil) }
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
        guard let model = state.model else {
            return Readiness(reason: "the model's head has not answered yet (\(state.failure ?? "not asked"))")
        }
        guard let answeredAt = state.answeredAt else {
            return Readiness(
                reason: "the model's head does not answer (\(state.failure ?? "no answer"))", model: model)
        }
        return Readiness(reason: Self.reason(model, age: now - answeredAt, failure: state.failure), model: model)
    }

    private static func reason(
        _ model: Fathom_Shard_V1_DescribeResponse, age: Duration, failure: String?
    ) -> String? {
        if age > maximumPollAge {
            return "the model's head does not answer (\(failure ?? "late"))"
        }
        if !model.serving {
            let unlinked = model.stages.filter { !$0.linked }.map { "\($0.index)" }
            return unlinked.isEmpty
                ? "the model is not serving" : "stages not linked: \(unlinked.joined(separator: ", "))"
        }
        guard model.millisecondsSinceLastToken != .max else { return "no token was generated yet" }
        guard model.millisecondsSinceLastToken <= maximumTokenAge else {
            return "the last token went through all stages \(model.millisecondsSinceLastToken) ms ago"
        }
        return nil
    }
}
