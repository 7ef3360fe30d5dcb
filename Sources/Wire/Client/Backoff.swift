/// Pauses between attempts: doubling, bounded, and shortened at random so that many clients do not come back at once.
package struct Backoff: Sendable, Equatable {
    package let minimum: Duration
    package let maximum: Duration
    /// Attempts that failed in a row.
    package private(set) var failures = 0

    package init(minimum: Duration, maximum: Duration) {
        self.minimum = minimum
        self.maximum = maximum
    }

    /// Counts a failure and says how long to wait: between half of and the whole of min(minimum * 2^failures, maximum).
    package mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
        let factor = 1 << min(failures, 16)
        failures += 1
        return min(minimum * factor, maximum) * Double.random(in: 0.5...1, using: &generator)
    }

    /// Forgets past failures.
    package mutating func reset() {
        failures = 0
    }
}
