/// A number that goes up and down, such as a queue length. Callable from any thread, without a lock.
package final class Gauge: Sendable {
    private let current = AtomicDouble()

    init() {}

    /// The last value set, plus what was added since.
    package var value: Double { current.value }

    /// Replaces the value.
    package func set(_ value: Double) {
        current.store(value)
    }

    /// Replaces the value by a count.
    package func set(_ count: Int) {
        current.store(Double(count))
    }

    /// Adds `amount`, which may be negative.
    package func add(_ amount: Double) {
        current.add(amount)
    }
}
