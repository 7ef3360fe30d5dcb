import NIOCore

/// What happens on a raw stream. Delivered on the connection's event loop, in order; the receiver must not block.
package enum RawStreamEvent: Sendable {
    /// A message, as slices of the receive buffer. Counts as consumed when the callback returns.
    case message(ByteBuffer, attachment: ByteBuffer?)
    /// Server only: the client has no more messages. The stream stays open for answers.
    case halfClosed
    /// The last event: nil after STATUS OK, otherwise why.
    case closed(RPCError?)
}

/// The client's end of a raw stream: bytes in, bytes out, no task and no suspension between the caller and the socket.
///
/// For hot paths (activations between pipeline stages). All methods may be called from any thread; messages leave in the
/// order of the calls of one thread.
package struct RawStream: Sendable {
    let stream: WireStream

    /// Sends one message, or queues it while the peer has not granted credits.
    ///
    /// - Throws: RESOURCE_EXHAUSTED when the peer is too far behind (`WireLimits.maxUnsentBytes`); what the stream ended
    ///   with when it is over.
    package func send(message: ByteBuffer, attachment: ByteBuffer? = nil) throws(RPCError) {
        try stream.send(Frame.Payload(message: message, attachment: attachment))
    }

    /// Bytes that wait for the peer's credits.
    package var unsentBytes: Int { stream.queuedBytes }

    /// No more messages follow; queued ones still leave.
    package func halfClose() {
        stream.halfClose()
    }

    /// Gives the stream up: the server's end is cancelled, and `.closed(CANCELLED)` follows here.
    package func cancel() {
        stream.cancel(RPCError(.cancelled, "the caller cancelled"))
    }
}

/// The server's end of a raw stream. All methods may be called from any thread.
package struct RawServerStream: Sendable {
    let stream: WireStream
    package let context: ServerContext

    /// Sends one message, or queues it while the peer has not granted credits.
    ///
    /// - Throws: as `RawStream.send`.
    package func send(message: ByteBuffer, attachment: ByteBuffer? = nil) throws(RPCError) {
        try stream.send(Frame.Payload(message: message, attachment: attachment))
    }

    /// Bytes that wait for the peer's credits.
    package var unsentBytes: Int { stream.queuedBytes }

    /// Ends the stream after what is queued: nil is OK.
    package func finish(_ error: RPCError? = nil) {
        stream.finish(error.map(Frame.Status.init) ?? Frame.Status(code: .ok))
    }

    /// Ends the stream at once with `error`, dropping what is queued.
    package func cancel(_ error: RPCError = RPCError(.cancelled, "the server cancelled")) {
        stream.cancel(error)
    }
}

/// Delivers a raw stream's events to a callback.
final class RawSink: StreamSink {
    private let onEvent: @Sendable (RawStreamEvent) -> Void

    init(_ onEvent: @escaping @Sendable (RawStreamEvent) -> Void) {
        self.onEvent = onEvent
    }

    func received(_ payload: Frame.Payload, on stream: WireStream) {
        onEvent(.message(payload.message, attachment: payload.attachment))
        stream.consumed(payload.cost)
    }

    func requestsEnded(on stream: WireStream) {
        onEvent(.halfClosed)
    }

    func closed(_ error: RPCError?, on stream: WireStream) {
        onEvent(.closed(error))
    }
}
