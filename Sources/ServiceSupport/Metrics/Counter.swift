/// A number that only grows while the process lives. Callable from any thread, without a lock.
package final class Counter: Sendable {
    private let total = AtomicDouble()

    init() {}

    /// The sum of all increments since the process started.
    package var value: Double { total.value }

    /// Adds `amount`. An amount that is negative or not a number is ignored: a counter never goes down.
    package func increment(by amount: Double = 1) {
        guard amount > 0, amount.isFinite else { return }
        total.add(amount)
    }

    /// Adds a count, such as a number of tokens.
    package func increment(by count: Int) {
        increment(by: Double(count))
    }
}
