import NIOCore

/// Holds a connection's first bytes back until they tell its protocol, then sets the pipeline up and replays them.
final class ProtocolSniffer: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// How HTTP/2's preface begins; no HTTP/1 request can.
    static let preface: [UInt8] = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private let timeout: TimeAmount
    private let promise: EventLoopPromise<PublicChannel.Value.Connection>
    private let configure: (Bool) -> EventLoopFuture<PublicChannel.Value.Connection>
    private var held = ByteBuffer()
    private var isDecided = false
    private var isConfigured = false
    private var timer: Scheduled<Void>?

    init(
        timeout: TimeAmount, promise: EventLoopPromise<PublicChannel.Value.Connection>,
        configure: @escaping (_ isHTTP2: Bool) -> EventLoopFuture<PublicChannel.Value.Connection>
    ) {
        self.timeout = timeout
        self.promise = promise
        self.configure = configure
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        timer = context.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        if !isDecided { promise.fail(ChannelError.eof) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !isDecided {
            isDecided = true
            promise.fail(ChannelError.eof)
        }
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // A shutdown, or a client that left, before anything was said.
        if !isDecided, event is ChannelShouldQuiesceEvent || (event as? ChannelEvent) == .inputClosed {
            context.close(promise: nil)
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isConfigured {
            context.fireChannelRead(data)
            return
        }
        var bytes = unwrapInboundIn(data)
        held.writeBuffer(&bytes)
        guard !isDecided else { return }
        let known = held.readableBytesView.prefix(Self.preface.count)
        let isHTTP2 = known.elementsEqual(Self.preface.prefix(known.count))
        guard !isHTTP2 || known.count == Self.preface.count else { return }
        isDecided = true
        timer?.cancel()
        let loopBound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        configure(isHTTP2).whenComplete { result in
            let (handler, context) = loopBound.value
            switch result {
            case .success(let connection):
                handler.isConfigured = true
                handler.promise.succeed(connection)
                context.fireChannelRead(handler.wrapInboundOut(handler.held))
                context.fireChannelReadComplete()
                context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
            case .failure(let error):
                handler.promise.fail(error)
                context.close(promise: nil)
            }
        }
    }
}
