/// When a dead process is started again: soon when it has shown that it can do its work, later and later when it keeps
/// dying without.
///
/// A pure value; time comes in as a parameter.
package struct RestartPolicy: Sendable, Equatable {
    /// Pause after the first death: long enough for load balancers that look at /readyz to see it.
    package static let firstDelay = Duration.milliseconds(300)
    /// Longest pause.
    package static let longestDelay = Duration.seconds(15)
    /// A process that lived this long is forgiven its earlier deaths even if it never served: it waited for others.
    package static let healthyLife = Duration.seconds(10)

    /// Deaths in a row of processes that neither served nor lived long.
    package private(set) var earlyDeaths = 0

    package init() {}

    /// Pause before the next start.
    ///
    /// - Parameters:
    ///   - lifetime: How long the process ran.
    ///   - hasServed: Whether it became ready and served, however short: then it did not fail to start, whoever ended it.
    package mutating func delay(afterLifetime lifetime: Duration, hasServed: Bool = false) -> Duration {
        if hasServed || lifetime >= Self.healthyLife { earlyDeaths = 0 }
        earlyDeaths += 1
        // The first pause twice, so that two accidents in a row both recover quickly; then doubling.
        let doublings = min(max(0, earlyDeaths - 2), 20)
        return min(Self.firstDelay * (1 << doublings), Self.longestDelay)
    }
}
