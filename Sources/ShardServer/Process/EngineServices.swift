import Engine
import ServiceLifecycle
import ServiceSupport

/// Ends the engine after the server in front of it has drained.
struct EngineService: Service {
    /// Requests still open this long after the server drained are lost anyway: their calls are over.
    private static let grace = Duration.seconds(2)

    let engine: InferenceEngine

    func run() async throws {
        try? await gracefulShutdown()
        await engine.shutdown(deadline: .now + Self.grace)
    }
}

/// Keeps the process's health in step with the engine's liveness.
struct LivenessService: Service {
    /// Shorter than anybody needs to go and ask after the gateway has called the cluster ready.
    private static let interval = Duration.milliseconds(50)

    let engine: InferenceEngine
    let health: HealthState

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                let problem = engine.status.problem()
                health.set(serving: problem == nil, reason: problem ?? "")
                try? await Task.sleep(for: Self.interval)
            }
        }
    }
}

/// A later stage serves as soon as it listens; whether the group serves is the head's to say.
struct StageReadiness: Service {
    let health: HealthState

    func run() async throws {
        health.set(serving: true)
        try? await gracefulShutdown()
    }
}
