import Glibc

/// A bounded queue from any thread to one thread that parks while it is empty.
///
/// A condition variable rather than an actor: the receiver is a thread that computes for milliseconds at a time and must
/// not occupy the cooperative pool. Waits are measured on the monotonic clock.
///
/// `@unchecked Sendable`: `messages` and `isClosed` are touched only with `mutex` held; both pthread objects live at
/// fixed addresses from init to deinit.
package final class Mailbox<Message: Sendable>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private let capacity: Int
    private var messages: [Message] = []
    private var isClosed = false

    /// - Parameter capacity: messages that may wait; `post` refuses more.
    package init(capacity: Int) {
        self.capacity = capacity
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Adds a message; never waits.
    ///
    /// - Returns: false when the mailbox is full or closed; the message is dropped.
    @discardableResult
    package func post(_ message: Message) -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        guard !isClosed, messages.count < capacity else { return false }
        messages.append(message)
        pthread_cond_signal(condition)
        return true
    }

    /// Refuses further messages and wakes the receiver.
    package func close() {
        pthread_mutex_lock(mutex)
        isClosed = true
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }

    /// Takes all messages, waiting for the first one.
    ///
    /// - Parameters:
    ///   - batch: emptied, then filled; reuse it from call to call.
    ///   - deadline: when to return without a message; nil waits for a message or `close`; a past one only looks.
    /// - Returns: false once the mailbox is closed and empty.
    package func take(into batch: inout [Message], until deadline: ContinuousClock.Instant?) -> Bool {
        batch.removeAll(keepingCapacity: true)
        let time = deadline.map { Self.monotonicTime(of: $0) }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while messages.isEmpty, !isClosed {
            if var time {
                if pthread_cond_timedwait(condition, mutex, &time) == ETIMEDOUT { break }
            } else {
                pthread_cond_wait(condition, mutex)
            }
        }
        swap(&messages, &batch)
        return !(isClosed && batch.isEmpty)
    }

    private static func monotonicTime(of deadline: ContinuousClock.Instant) -> timespec {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let wait = max(.zero, ContinuousClock.now.duration(to: deadline)).components
        let nanoseconds = now.tv_nsec + Int(wait.attoseconds / 1_000_000_000)
        return timespec(
            tv_sec: now.tv_sec + Int(wait.seconds) + nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000)
    }
}
