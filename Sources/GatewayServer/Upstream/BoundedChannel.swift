import Synchronization

/// A queue of bounded length between tasks that produce and one task that consumes: a full queue suspends producers, so
/// that a slow client slows the model down instead of filling memory.
package final class BoundedChannel<Element: Sendable>: Sendable {
    private struct State {
        var buffer: [Element] = []
        /// Elements before this index were consumed; the array is compacted when it runs empty.
        var head = 0
        var receiver: CheckedContinuation<Element?, any Error>?
        /// Of `waitForNext`; never there together with a receiver.
        var waiter: CheckedContinuation<Bool, Never>?
        /// Whether `waitForNext` has waited long enough.
        var isWaitOver = false
        var senders: [(element: Element, continuation: CheckedContinuation<Void, any Error>)] = []
        var isFinished = false
        var error: (any Error)?

        var count: Int { buffer.count - head }

        /// Resuming a continuation only makes its task ready, so it may be done under the lock.
        mutating func wakeWaiter(_ hasNext: Bool) {
            waiter?.resume(returning: hasNext)
            waiter = nil
        }

        mutating func popFirst() -> Element? {
            guard head < buffer.count else { return nil }
            let element = buffer[head]
            head += 1
            if head == buffer.count {
                buffer.removeAll(keepingCapacity: true)
                head = 0
            }
            return element
        }
    }

    private let capacity: Int
    private let state = Mutex(State())

    /// A channel that holds up to `capacity` elements.
    package init(capacity: Int) {
        precondition(capacity > 0, "a channel must hold at least 1 element, not \(capacity)")
        self.capacity = capacity
    }

    /// Hands over an element, waiting while the channel is full.
    ///
    /// - Throws: `CancellationError` when the channel has ended.
    package func send(_ element: Element) async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            let (receiver, outcome) = state.withLock { state -> (CheckedContinuation<Element?, any Error>?, Bool?) in
                if state.isFinished { return (nil, false) }
                if let receiver = state.receiver {
                    state.receiver = nil
                    return (receiver, true)
                }
                if state.count < capacity {
                    state.buffer.append(element)
                    state.wakeWaiter(true)
                    return (nil, true)
                }
                state.senders.append((element, continuation))
                return (nil, nil)
            }
            receiver?.resume(returning: element)
            switch outcome {
            case true?: continuation.resume()
            case false?: continuation.resume(throwing: CancellationError())
            case nil: break
            }
        }
    }

    /// The next element, or nil after the end. One task at a time may wait here.
    ///
    /// - Throws: what the channel was finished with, after the elements before it.
    package func next() async throws -> Element? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Element?, any Error>) in
                let (result, sender) = state.withLock {
                    state -> (Result<Element?, any Error>?, CheckedContinuation<Void, any Error>?) in
                    precondition(state.receiver == nil, "two tasks wait on one channel")
                    if let element = state.popFirst() {
                        guard !state.senders.isEmpty else { return (.success(element), nil) }
                        let sender = state.senders.removeFirst()
                        state.buffer.append(sender.element)
                        return (.success(element), sender.continuation)
                    }
                    if state.isFinished {
                        defer { state.error = nil }
                        return (state.error.map { .failure($0) } ?? .success(nil), nil)
                    }
                    state.receiver = continuation
                    return (nil, nil)
                }
                sender?.resume()
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            cancel(throwing: CancellationError())
        }
    }

    /// Waits until `next` would not wait, at most for `duration`; false when it still would. For once, before `next`.
    package func waitForNext(_ duration: Duration) async -> Bool {
        let timer = Task {
            guard (try? await Task.sleep(for: duration)) != nil else { return }
            state.withLock { state in
                state.isWaitOver = true
                state.wakeWaiter(false)
            }
        }
        defer { timer.cancel() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
                state.withLock { state in
                    precondition(state.receiver == nil && state.waiter == nil, "two tasks wait on one channel")
                    if state.count > 0 || state.isFinished {
                        continuation.resume(returning: true)
                    } else if state.isWaitOver {
                        continuation.resume(returning: false)
                    } else {
                        state.waiter = continuation
                    }
                }
            }
        } onCancel: {
            cancel(throwing: CancellationError())
        }
    }

    /// Ends the channel after what is in it: the consumer gets the rest, then `error` or the end. Later sends fail.
    package func finish(throwing error: (any Error)? = nil) {
        end(throwing: error, keepsElements: true)
    }

    /// Ends the channel now: what is in it is dropped, and the consumer gets `error`.
    package func cancel(throwing error: any Error) {
        end(throwing: error, keepsElements: false)
    }

    private func end(throwing error: (any Error)?, keepsElements: Bool) {
        let (receiver, senders) = state.withLock {
            state -> (CheckedContinuation<Element?, any Error>?, [CheckedContinuation<Void, any Error>]) in
            guard !state.isFinished || !keepsElements else { return (nil, []) }
            state.isFinished = true
            state.wakeWaiter(true)
            if !keepsElements {
                state.buffer.removeAll()
                state.head = 0
            }
            let receiver = state.receiver
            state.receiver = nil
            // A waiting receiver takes the error with it.
            state.error = receiver == nil ? error : nil
            let senders = state.senders.map(\.continuation)
            state.senders = []
            return (receiver, senders)
        }
        if let error { receiver?.resume(throwing: error) } else { receiver?.resume(returning: nil) }
        for sender in senders { sender.resume(throwing: CancellationError()) }
    }
}
