import NIOCore

/// Delivers a raw stream's events to the callback its handler returned.
///
/// The handler may already use the stream, even end it, before it has returned the callback; an end that comes this
/// early is kept until then.
final class RawServerSink: StreamSink {
    private struct State {
        var onEvent: (@Sendable (RawStreamEvent) -> Void)?
        var early: RawStreamEvent?
    }

    private let state: NIOLoopBoundBox<State>

    /// Call on `eventLoop`, the connection's.
    init(_ eventLoop: any EventLoop) {
        state = NIOLoopBoundBox(State(), eventLoop: eventLoop)
    }

    /// Sets where events go.
    func begin(_ onEvent: @escaping @Sendable (RawStreamEvent) -> Void) {
        state.value.onEvent = onEvent
        guard let early = state.value.early else { return }
        state.value.early = nil
        onEvent(early)
    }

    func received(_ payload: Frame.Payload, on stream: WireStream) {
        state.value.onEvent?(.message(payload.message, attachment: payload.attachment))
        stream.consumed(payload.cost)
    }

    func requestsEnded(on stream: WireStream) {
        state.value.onEvent?(.halfClosed)
    }

    func closed(_ error: RPCError?, on stream: WireStream) {
        guard let onEvent = state.value.onEvent else {
            state.value.early = .closed(error)
            return
        }
        // The callback often refers to the stream: letting it go here breaks that cycle.
        state.value.onEvent = nil
        onEvent(.closed(error))
    }
}
