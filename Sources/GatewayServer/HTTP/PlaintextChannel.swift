import HummingbirdCore
import HummingbirdHTTP2
import Logging
import NIOCore

/// A cleartext connection that speaks HTTP/1.1 or, when its first bytes are HTTP/2's preface ("prior knowledge"),
/// HTTP/2: one port serves both.
struct PlaintextChannel: ServerChildChannel {
    /// A connection whose protocol is known, or will be.
    struct Value: ServerChildChannelValue {
        enum Connection: Sendable {
            case http1(HTTP1Channel.Value)
            case http2(HTTP2Channel.Value)
        }

        let connection: EventLoopFuture<Connection>
        let channel: any Channel
    }

    private let http1: HTTP1Channel
    private let http2: HTTP2Channel
    private let prefaceTimeout: TimeAmount

    /// - Parameters:
    ///   - prefaceTimeout: how long a new connection may say nothing.
    init(
        responder: @escaping HTTPChannelHandler.Responder, http1: HTTP1Channel.Configuration,
        http2: HTTP2Channel.Configuration, prefaceTimeout: TimeAmount
    ) {
        self.http1 = HTTP1Channel(responder: responder, configuration: http1)
        self.http2 = HTTP2Channel(responder: responder, configuration: http2)
        self.prefaceTimeout = prefaceTimeout
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let promise = channel.eventLoop.makePromise(of: Value.Connection.self)
            let sniffer = ProtocolSniffer(timeout: prefaceTimeout, promise: promise) { isHTTP2 in
                if isHTTP2 {
                    http2.setup(channel: channel, logger: logger).map { .http2($0) }
                } else {
                    http1.setup(channel: channel, logger: logger).map { .http1($0) }
                }
            }
            try channel.pipeline.syncOperations.addHandler(sniffer)
            return Value(connection: promise.futureResult, channel: channel)
        }
    }

    func handle(value: Value, logger: Logger) async {
        guard let connection = try? await value.connection.get() else { return }
        switch connection {
        case .http1(let connection): await http1.handle(value: connection, logger: logger)
        case .http2(let connection): await http2.handle(value: connection, logger: logger)
        }
    }
}

/// Holds a connection's first bytes back until they tell its protocol, then sets the pipeline up and replays them.
final class ProtocolSniffer: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// How HTTP/2's preface begins; no HTTP/1 request can.
    static let preface: [UInt8] = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private let timeout: TimeAmount
    private let promise: EventLoopPromise<PlaintextChannel.Value.Connection>
    private let configure: (Bool) -> EventLoopFuture<PlaintextChannel.Value.Connection>
    private var held = ByteBuffer()
    private var isDecided = false
    private var isConfigured = false
    private var timer: Scheduled<Void>?

    init(
        timeout: TimeAmount, promise: EventLoopPromise<PlaintextChannel.Value.Connection>,
        configure: @escaping (_ isHTTP2: Bool) -> EventLoopFuture<PlaintextChannel.Value.Connection>
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
