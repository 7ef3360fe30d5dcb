import NIOCore
import Synchronization

/// The messages of one stream between the event loop that receives them and the task that reads them.
///
/// Bounded twice: the credits of the stream bound what the peer may send ahead, and the connection's `UnreadMeter`
/// bounds the sum over its streams. One task reads at a time.
final class InboundQueue: StreamSink {
    private struct State {
        var payloads = CircularBuffer<Frame.Payload>()
        var waiter: CheckedContinuation<Frame.Payload?, any Error>?
        var isComplete = false
        var error: RPCError?
        /// Called once when the stream is over.
        var onClosed: (@Sendable (RPCError?) -> Void)?
        var isClosed = false
    }

    private let meter: UnreadMeter
    private let state = Mutex(State())

    init(meter: UnreadMeter) {
        self.meter = meter
    }

    deinit {
        let unread = state.withLock { state in state.payloads.reduce(0) { $0 + $1.cost } }
        if unread > 0 { meter.remove(unread) }
    }

    // MARK: Event loop

    func received(_ payload: Frame.Payload, on stream: WireStream) {
        enum Outcome {
            case handed(CheckedContinuation<Frame.Payload?, any Error>), queued, refused
        }
        let outcome: Outcome = state.withLock { state in
            if let waiter = state.waiter {
                state.waiter = nil
                return .handed(waiter)
            }
            guard meter.add(payload.cost) else { return .refused }
            state.payloads.append(payload.compacted())
            return .queued
        }
        switch outcome {
        case .handed(let waiter):
            waiter.resume(returning: payload)
            stream.consumed(payload.cost)
        case .queued: break
        case .refused:
            stream.cancel(
                RPCError(.resourceExhausted, "more than \(meter.limit) bytes of this connection are unread"))
        }
    }

    func requestsEnded(on stream: WireStream) {
        complete(nil)
    }

    func closed(_ error: RPCError?, on stream: WireStream) {
        complete(error)
        let onClosed = state.withLock { state in
            state.isClosed = true
            defer { state.onClosed = nil }
            return state.onClosed
        }
        onClosed?(error)
    }

    /// Calls `body` when the stream is over, at once when it already is.
    func whenClosed(_ body: @escaping @Sendable (RPCError?) -> Void) {
        let error: RPCError?? = state.withLock { state in
            guard state.isClosed else {
                state.onClosed = body
                return .none
            }
            return .some(state.error)
        }
        if let error { body(error) }
    }

    private func complete(_ error: RPCError?) {
        let waiter = state.withLock { state in
            // The end of the requests is no error, but what follows it may be.
            if !state.isComplete || error != nil { state.error = state.error ?? error }
            state.isComplete = true
            defer { state.waiter = nil }
            return state.waiter
        }
        guard let waiter else { return }
        if let error { waiter.resume(throwing: error) } else { waiter.resume(returning: nil) }
    }

    // MARK: Reading task

    /// The next message; nil at the regular end. Messages received before a failure are still returned.
    ///
    /// Cancelling the task cancels the stream.
    func next(of stream: WireStream) async throws -> Frame.Payload? {
        if let payload = take() {
            stream.consumed(payload.cost)
            return payload
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome: Result<Frame.Payload?, any Error>? = state.withLock { state in
                    if let payload = state.payloads.popFirst() { return .success(payload) }
                    if let error = state.error { return .failure(error) }
                    if state.isComplete { return .success(nil) }
                    precondition(state.waiter == nil, "two tasks read one stream")
                    state.waiter = continuation
                    return nil
                }
                guard let outcome else { return }
                if case .success(let payload?) = outcome {
                    meter.remove(payload.cost)
                    stream.consumed(payload.cost)
                }
                continuation.resume(with: outcome)
            }
        } onCancel: {
            stream.cancel(RPCError(.cancelled, "the call was cancelled"))
        }
    }

    private func take() -> Frame.Payload? {
        guard let payload = state.withLock({ $0.payloads.popFirst() }) else { return nil }
        meter.remove(payload.cost)
        return payload
    }
}

/// Unread bytes over all streams of one connection.
final class UnreadMeter: Sendable {
    let limit: Int
    private let bytes = Atomic<Int>(0)

    init(limit: Int) {
        self.limit = limit
    }

    /// Bytes received and not yet taken.
    var count: Int { bytes.load(ordering: .relaxed) }

    /// Adds `count` unless the limit would be exceeded.
    func add(_ count: Int) -> Bool {
        guard bytes.add(count, ordering: .relaxed).newValue <= limit else {
            remove(count)
            return false
        }
        return true
    }

    func remove(_ count: Int) {
        bytes.subtract(count, ordering: .relaxed)
    }
}

extension Frame.Payload {
    /// This payload without a hold on a much larger receive buffer.
    func compacted() -> Frame.Payload {
        Frame.Payload(message: message.compacted(), attachment: attachment?.compacted())
    }
}

extension ByteBuffer {
    fileprivate func compacted() -> ByteBuffer {
        guard storageCapacity > 4 * readableBytes + 1024 else { return self }
        var copy = ByteBufferAllocator().buffer(capacity: readableBytes)
        copy.writeImmutableBuffer(self)
        return copy
    }
}
