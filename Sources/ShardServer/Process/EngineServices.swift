import Engine
import InferenceCore
import ServiceLifecycle
import ServiceSupport

/// Keeps the process's health in step with the liveness of its loaded models.
struct LivenessService: Service {
    /// Shorter than anybody needs to go and ask after the gateway has called the cluster ready.
    private static let interval = Duration.milliseconds(50)

    let pool: ModelPool<HeadModel>
    let health: HealthState

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                let problem = problem()
                health.set(serving: problem == nil, reason: problem ?? "")
                try? await Task.sleep(for: Self.interval)
            }
        }
    }

    /// What is wrong with the first model that does not serve. A model that is not loaded, or on its way, is no problem,
    /// and one that is at fault by itself is none while there is another.
    private func problem() -> String? {
        var fault: String?
        var isAnySound = pool.names.indices.contains { pool.snapshot(of: $0).isPromising }
        for (_, model) in pool.loadedModels {
            if let found = model.fault() {
                fault = fault ?? found.message
            } else if let problem = model.problem() {
                return "model \(model.served.name): \(problem)"
            } else {
                isAnySound = true
            }
        }
        return isAnySound ? nil : fault ?? "no model can be loaded"
    }
}

extension ModelPool.Snapshot {
    /// Whether the model may be loaded when it is asked for, as far as is known.
    fileprivate var isPromising: Bool { phase != .ready && failure == nil }
}

/// A later stage serves as soon as it listens; whether the group serves is the head's to say.
struct StageReadiness: Service {
    let health: HealthState

    func run() async throws {
        health.set(serving: true)
        try? await gracefulShutdown()
    }
}
