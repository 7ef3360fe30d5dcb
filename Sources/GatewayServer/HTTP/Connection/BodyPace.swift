import ServiceSupport

/// Decides when the body of a request comes too slowly.
///
/// The client has patience to spend: waiting for its bytes costs as much as it lasts, every byte earns back what it may
/// take at the least rate, and there is never more than at the start. So a body may pause for as long as the patience
/// lasts and must keep the rate in the long run, and a fast beginning buys no slow end.
package struct BodyPace {
    private let limits: HTTPLimits
    /// Seconds left.
    private var patience: Double
    /// Seconds waited in all.
    private var total = 0.0

    package init(_ limits: HTTPLimits) {
        self.limits = limits
        patience = limits.bodyStallTimeout.seconds
    }

    /// Bytes have come.
    package mutating func received(_ count: Int) {
        guard count > 0 else { return }
        let full = limits.bodyStallTimeout.seconds
        let earned = limits.bodyMinimumRate > 0 ? Double(count) / Double(limits.bodyMinimumRate) : full
        patience = min(full, patience + earned)
    }

    /// Nothing came for `duration`, though it was waited for.
    package mutating func waited(_ duration: Duration) {
        patience -= duration.seconds
        total += duration.seconds
    }

    package var isTooSlow: Bool { patience < 0 || total > limits.bodyTimeout.seconds }
}
