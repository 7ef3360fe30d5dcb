import NIOCore

/// A connection that has exchanged HELLO.
struct ClientConnection: Sendable {
    let handler: NIOLoopBound<ConnectionHandler>
    let eventLoop: any EventLoop
    let peer: Frame.Hello
    let limits: WireLimits
    let meter: UnreadMeter
    /// Tells connections of one client apart.
    let number: UInt64

    /// A stream that is not open yet.
    func makeStream(_ sink: any StreamSink) -> WireStream {
        WireStream(connection: handler, eventLoop: eventLoop, peer: peer, limits: limits, sink: sink)
    }

    /// Opens `stream`. Whether that works shows at its sink.
    func open(
        _ stream: WireStream, _ open: Frame.Open, first: Frame.Payload?, endStream: Bool,
        deadline: ContinuousClock.Instant?
    ) {
        eventLoop.execute { [handler] in
            handler.value.open(stream, open, first: first, endStream: endStream, deadline: deadline)
        }
    }

    /// Opens `stream` and waits until OPEN is on its way.
    ///
    /// - Throws: Why it could not be opened.
    func openAndWait(
        _ stream: WireStream, _ open: Frame.Open, first: Frame.Payload?, endStream: Bool,
        deadline: ContinuousClock.Instant?
    ) async throws {
        try await eventLoop.submit { [handler] in
            handler.value.open(stream, open, first: first, endStream: endStream, deadline: deadline)
            if let error = stream.failure { throw error }
        }.get()
    }
}
