import Synchronization

/// How many handlers run: begun when their stream is accepted, ended when their code has returned.
final class HandlerCounter: Sendable {
    let limit: Int
    private let running = Atomic<Int>(0)

    init(limit: Int) {
        self.limit = limit
    }

    var count: Int { running.load(ordering: .relaxed) }

    /// Counts one more, or returns false at the limit.
    @discardableResult
    func begin() -> Bool {
        guard running.add(1, ordering: .relaxed).newValue <= limit else {
            running.subtract(1, ordering: .relaxed)
            return false
        }
        return true
    }

    func end() {
        running.subtract(1, ordering: .relaxed)
    }
}
