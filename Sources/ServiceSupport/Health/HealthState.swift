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

    private let state: Mutex<Health>

    /// Starts as not serving, with the reason "starting".
    package init() {
        state = Mutex(Health(serving: false, reason: "starting"))
    }

    /// Replaces the state.
    package func set(serving: Bool, reason: String = "") {
        state.withLock { $0 = Health(serving: serving, reason: reason) }
    }

    /// The state now.
    package var current: Health {
        state.withLock { $0 }
    }
}
