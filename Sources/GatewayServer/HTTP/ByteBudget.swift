import Synchronization

/// Bounds the bytes of all bodies that are held at once.
final class ByteBudget: Sendable {
    private let limit: Int
    private let used = Mutex(0)

    init(limit: Int) {
        self.limit = limit
    }

    /// Takes `count` bytes; false when there is no room for them.
    func take(_ count: Int) -> Bool {
        used.withLock { used in
            guard used + count <= limit else { return false }
            used += count
            return true
        }
    }

    /// Gives bytes back.
    func release(_ count: Int) {
        used.withLock { $0 -= count }
    }
}
