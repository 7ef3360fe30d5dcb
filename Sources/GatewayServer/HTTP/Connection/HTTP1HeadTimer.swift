import NIOCore

/// Says that the head of a request did not come in time.
struct RequestHeadTimeout: Sendable {}

/// Stands before HTTP/1's parser and measures how long the head of a request takes from its first byte. The parser itself
/// tells nothing before a head is whole.
final class HTTP1HeadTimer: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let timeout: TimeAmount
    /// Whether the next byte begins a request.
    private var isBetweenRequests = true
    private var timer: Scheduled<Void>?

    init(timeout: Duration) {
        self.timeout = TimeAmount(timeout)
    }

    /// The parser has a whole head.
    func headArrived() {
        timer?.cancel()
        timer = nil
        isBetweenRequests = false
    }

    /// The parser has a whole request.
    func requestEnded() {
        isBetweenRequests = true
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isBetweenRequests && timer == nil {
            let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
            timer = context.eventLoop.scheduleTask(in: timeout) {
                let (handler, context) = bound.value
                handler.timer = nil
                context.fireUserInboundEventTriggered(RequestHeadTimeout())
            }
        }
        context.fireChannelRead(data)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        context.fireChannelInactive()
    }
}
