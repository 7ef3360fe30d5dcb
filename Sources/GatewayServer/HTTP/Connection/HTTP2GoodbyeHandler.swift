import NIOCore
import NIOHTTP2

/// Ends an HTTP/2 connection some time after it was told to go away, whatever its client does: Hummingbird waits for an
/// answer to a PING first, and a client that gives none would keep an idle connection for ever.
final class HTTP2GoodbyeHandler: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    private let timeout: TimeAmount
    private var timer: Scheduled<Void>?

    init(timeout: Duration) {
        self.timeout = TimeAmount(timeout)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if timer == nil, case .goAway = unwrapOutboundIn(data).payload {
            let channel = context.channel
            timer = context.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
            channel.closeFuture.assumeIsolated().whenComplete { [timer] _ in timer?.cancel() }
        }
        context.write(data, promise: promise)
    }
}

extension Channel {
    /// Adds the handler behind the one that makes frames.
    func sayGoodbye(within timeout: Duration) throws {
        let pipeline = self.pipeline.syncOperations
        try pipeline.addHandler(
            HTTP2GoodbyeHandler(timeout: timeout), position: .after(try pipeline.handler(type: NIOHTTP2Handler.self)))
    }
}
