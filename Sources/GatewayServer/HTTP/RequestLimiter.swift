import Synchronization

/// Bounds the requests that are served at once.
final class RequestLimiter: Sendable {
    /// A place among the requests being served; given back when released, at the latest when nobody holds it.
    final class Lease: Sendable {
        private let limiter: RequestLimiter
        private let isHeld = Mutex(true)

        fileprivate init(limiter: RequestLimiter) {
            self.limiter = limiter
        }

        func release() {
            let wasHeld = isHeld.withLock { held in
                defer { held = false }
                return held
            }
            if wasHeld { limiter.count.withLock { $0 -= 1 } }
        }

        deinit { release() }
    }

    let limit: Int
    private let count = Mutex(0)

    init(limit: Int) {
        self.limit = limit
    }

    /// A place, or nil when all are taken.
    func acquire() -> Lease? {
        let isAcquired = count.withLock { count in
            guard count < limit else { return false }
            count += 1
            return true
        }
        return isAcquired ? Lease(limiter: self) : nil
    }

    /// Requests being served now.
    var active: Int { count.withLock { $0 } }
}
