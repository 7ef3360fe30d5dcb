import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// What a route sends down the pipeline when it is about to wait for the request's body.
struct BodyWanted: Sendable {}

/// Watches the requests and answers of a connection, or of one HTTP/2 stream, for clients that would hold it for ever:
/// bodies that do not come and answers that are not read. Also says "100 Continue" to clients that wait for it, and keeps
/// silent event streams open with comments.
///
/// Everything runs on timers of the event loop; a piece of an answer costs the setting of one number.
final class ExchangeHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// Time between looks at a body that is on its way.
    private let bodyTick: Duration
    private let limits: HTTPLimits

    /// Whether the body of the request that came last has not ended.
    private var isReceiving = false
    /// Whether that request's client waits for a word before it sends its body.
    private var expectsContinue = false
    /// Whether bytes are wanted: what does not come then is late.
    private var isReadPending = false
    private var pace: BodyPace
    private var bodyTimer: RepeatedTask?
    private var writeTimer: Scheduled<Void>?
    private var pingTimer: RepeatedTask?
    /// Half intervals without a piece of the event stream.
    private var silentTicks = 0

    init(_ limits: HTTPLimits) {
        self.limits = limits
        pace = BodyPace(limits)
        bodyTick = min(.seconds(1), limits.bodyStallTimeout / 4)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        cancelTimers()
    }

    func channelInactive(context: ChannelHandlerContext) {
        cancelTimers()
        context.fireChannelInactive()
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            isReceiving = true
            expectsContinue = head.headerFields[.expect]?.lowercased() == "100-continue"
            pace = BodyPace(limits)
        case .body(let bytes):
            expectsContinue = false
            pace.received(bytes.readableBytes)
        case .end:
            isReceiving = false
            stopBodyTimer()
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReadPending = false
        // Most requests come whole in one read and need no timer.
        if isReceiving && bodyTimer == nil { startBodyTimer(context) }
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        isReadPending = true
        context.read()
    }

    private func startBodyTimer(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let tick = TimeAmount(bodyTick)
        bodyTimer = context.eventLoop.scheduleRepeatedTask(initialDelay: tick, delay: tick) { _ in
            let (handler, context) = bound.value
            handler.lookAtBody(context)
        }
    }

    private func lookAtBody(_ context: ChannelHandlerContext) {
        // A body that is not asked for, because what reads it has enough to do, is not late.
        if isReadPending { pace.waited(bodyTick) }
        guard isReceiving, pace.isTooSlow else { return }
        stopBodyTimer()
        isReceiving = false
        context.fireErrorCaught(APIError.requestTimeout)
    }

    private func stopBodyTimer() {
        bodyTimer?.cancel()
        bodyTimer = nil
    }

    // MARK: Answers

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard event is BodyWanted else {
            context.triggerUserOutboundEvent(event, promise: promise)
            return
        }
        promise?.succeed()
        guard isReceiving, expectsContinue else { return }
        expectsContinue = false
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head):
            silentTicks = 0
            if head.status.kind != .informational,
                head.headerFields[.contentType]?.hasPrefix(ServerSentEvents.contentType) == true
            {
                startPings(context)
            }
        case .body:
            silentTicks = 0
        case .end:
            stopPings()
        }
        context.write(data, promise: promise)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            writeTimer?.cancel()
            writeTimer = nil
        } else if writeTimer == nil {
            let channel = context.channel
            writeTimer = context.eventLoop.scheduleTask(in: TimeAmount(limits.writeTimeout)) {
                channel.close(promise: nil)
            }
        }
        context.fireChannelWritabilityChanged()
    }

    private func startPings(_ context: ChannelHandlerContext) {
        guard limits.pingInterval > .zero, pingTimer == nil else { return }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let tick = TimeAmount(limits.pingInterval / 2)
        pingTimer = context.eventLoop.scheduleRepeatedTask(initialDelay: tick, delay: tick) { _ in
            let (handler, context) = bound.value
            handler.pingWhenSilent(context)
        }
    }

    private func pingWhenSilent(_ context: ChannelHandlerContext) {
        silentTicks += 1
        // A client that does not read needs no more to read.
        guard silentTicks >= 2, context.channel.isWritable else { return }
        silentTicks = 0
        context.writeAndFlush(wrapOutboundOut(.body(ByteBuffer(string: ServerSentEvents.ping))), promise: nil)
    }

    private func stopPings() {
        pingTimer?.cancel()
        pingTimer = nil
    }

    private func cancelTimers() {
        stopBodyTimer()
        stopPings()
        writeTimer?.cancel()
        writeTimer = nil
    }
}

extension Channel {
    /// Tells the client of the request that this channel carries, should it wait for a word, to send its body.
    func askForBody() {
        pipeline.triggerUserOutboundEvent(BodyWanted(), promise: nil)
    }
}
