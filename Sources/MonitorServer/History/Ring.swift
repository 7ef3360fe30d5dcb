/// A queue of bounded length: appending to a full one drops the oldest element. Memory grows with use up to the bound.
package struct Ring<Element: Sendable>: Sendable {
    private var storage: [Element] = []
    /// Index of the oldest element once the storage has wrapped.
    private var start = 0
    private var length = 0
    package let capacity: Int

    package init(capacity: Int) {
        precondition(capacity > 0, "a ring holds at least one element, got capacity \(capacity)")
        self.capacity = capacity
    }

    package var count: Int { length }
    package var isFull: Bool { length == capacity }
    package var first: Element? { length == 0 ? nil : storage[start] }
    package var last: Element? { length == 0 ? nil : storage[(start + length - 1) % storage.count] }

    /// Oldest first.
    package var elements: [Element] {
        (0..<length).map { storage[(start + $0) % storage.count] }
    }

    package mutating func append(_ element: Element) {
        if length == capacity { removeFirst() }
        if length == storage.count {
            if start != 0 {
                storage = elements
                start = 0
            }
            storage.append(element)
        } else {
            storage[(start + length) % storage.count] = element
        }
        length += 1
    }

    @discardableResult
    package mutating func removeFirst() -> Element? {
        guard length > 0 else { return nil }
        let element = storage[start]
        start = (start + 1) % storage.count
        length -= 1
        return element
    }
}
