import Synchronization

/// Whether this process can do its work right now, and if not, why, in words. One writer (the server's logic), many
/// readers (health rpc, readiness endpoint, monitor reports).
package final class HealthState: Sendable {
    /// A moment's answer.
    package struct Health: Sendable, Equatable {
        /// True when requests will be served.
        package var serving: Bool
        /// Why not, for people; empty while serving.
        package var reason: String

        package init(serving: Bool, reason: String = "") {
            self.serving = serving
            self.reason = reason
        }
    }

    private struct State {
        var health = Health(serving: false, reason: "starting")
        var hasServed = false
        var onFirstServing: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    /// Starts as not serving, with the reason "starting".
    package init() {}

    /// Replaces the state.
    package func set(serving: Bool, reason: String = "") {
        let first = state.withLock { state -> (@Sendable () -> Void)? in
            state.health = Health(serving: serving, reason: reason)
            guard serving, !state.hasServed else { return nil }
            state.hasServed = true
            defer { state.onFirstServing = nil }
            return state.onFirstServing
        }
        first?()
    }

    /// The state now.
    package var current: Health {
        state.withLock { $0.health }
    }

    /// Whether the process was able to do its work at some time.
    package var hasServed: Bool {
        state.withLock { $0.hasServed }
    }

    /// Calls `action` when the process serves for the first time, on the thread of whoever says so.
    package func onFirstServing(_ action: @escaping @Sendable () -> Void) {
        state.withLock { $0.onFirstServing = action }
    }
}
