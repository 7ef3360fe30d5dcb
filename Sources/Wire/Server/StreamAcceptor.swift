import Logging
import NIOCore

/// Turns OPEN frames of one connection into calls. Lives on the connection's event loop.
final class StreamAcceptor {
    private let router: RPCRouter
    private let table: ConnectionTable
    private let eventLoop: any EventLoop
    private let peerAddress: String
    private let logger: Logger
    private let submit: @Sendable (ServerCall) -> Void
    private let meter: UnreadMeter
    private let handlers: HandlerCounter
    /// From HELLO.
    var peerName = ""

    init(
        router: RPCRouter, limits: WireLimits, table: ConnectionTable, eventLoop: any EventLoop, peerAddress: String,
        logger: Logger,
        submit: @escaping @Sendable (ServerCall) -> Void
    ) {
        self.router = router
        self.table = table
        self.eventLoop = eventLoop
        self.peerAddress = peerAddress
        self.logger = logger
        self.submit = submit
        meter = UnreadMeter(limit: limits.maxUnreadBytes)
        handlers = HandlerCounter(limit: limits.maxStreams)
    }

    /// The stream for `open`, with its handler started or submitted.
    func accept(_ open: Frame.Open) -> Result<AcceptedStream, RPCError> {
        guard let handler = router.handler(open.method) else {
            return .failure(RPCError(.unimplemented, "there is no method \(open.method.prefix(200))"))
        }
        let context = ServerContext(
            metadata: open.metadata, methodFullName: open.method, peer: "\(peerName) \(peerAddress)",
            deadline: Self.deadline(open.timeoutMicroseconds))
        switch handler {
        case .raw(let start):
            let sink = RawServerSink(eventLoop)
            return .success(
                AcceptedStream(sink: sink) { stream in
                    sink.begin(start(RawServerStream(stream: stream, context: context)))
                })
        case .typed(let run):
            // A cancelled stream leaves the table at once, its handler when it notices. Without this count a peer that
            // opens and cancels could start handlers without bound.
            guard handlers.begin() else {
                return .failure(RPCError(.resourceExhausted, "\(handlers.limit) calls of this connection still run"))
            }
            table.handlers.begin()
            let queue = InboundQueue(meter: meter)
            return .success(AcceptedStream(sink: queue) { self.start(run, queue, context, on: $0) })
        }
    }

    private func start(
        _ run: @escaping @Sendable (RPCRouter.Call) async throws -> Frame.Payload?, _ queue: InboundQueue,
        _ context: ServerContext, on stream: WireStream
    ) {
        let canceller = TaskCanceller()
        queue.whenClosed { _ in canceller.cancel() }
        submit(
            ServerCall(
                call: RPCRouter.Call(stream: stream, queue: queue, context: context),
                handler: run, canceller: canceller, logger: logger, counters: [handlers, table.handlers]))
    }

    private static func deadline(_ timeoutMicroseconds: UInt64) -> ContinuousClock.Instant? {
        guard timeoutMicroseconds > 0 else { return nil }
        return .now.advanced(by: .microseconds(Int64(min(timeoutMicroseconds, ConnectionHandler.longestTimeout))))
    }
}
