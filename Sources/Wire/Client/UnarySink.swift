import Synchronization

/// Waits for the one response of a unary call.
final class UnarySink: StreamSink {
    private struct State {
        var continuation: CheckedContinuation<Frame.Payload, any Error>?
        var payload: Frame.Payload?
    }

    private let state = Mutex(State())

    /// Sets who waits. Call once, before the stream is opened.
    func wait(_ continuation: CheckedContinuation<Frame.Payload, any Error>) {
        state.withLock { $0.continuation = continuation }
    }

    func received(_ payload: Frame.Payload, on stream: WireStream) {
        let isSecond = state.withLock { state in
            defer { state.payload = payload }
            return state.payload != nil
        }
        if isSecond { stream.cancel(RPCError(.internalError, "the server sent two responses to a unary call")) }
    }

    func requestsEnded(on stream: WireStream) {}

    func closed(_ error: RPCError?, on stream: WireStream) {
        let (continuation, payload) = state.withLock { state in
            defer { state = State() }
            return (state.continuation, state.payload)
        }
        if let error {
            continuation?.resume(throwing: error)
        } else if let payload {
            continuation?.resume(returning: payload)
        } else {
            continuation?.resume(throwing: RPCError(.internalError, "the server sent no response to a unary call"))
        }
    }
}
