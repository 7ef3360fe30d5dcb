import HummingbirdCore
import HummingbirdHTTP2
import Logging
import NIOCore
import NIOSSL

/// A connection of the public port, under TLS or not: HTTP/2 when its first bytes are HTTP/2's preface, else HTTP/1.
///
/// Without TLS that is "prior knowledge"; under TLS both sides have agreed by ALPN before, and the client's first bytes
/// say on what.
struct PublicChannel: ServerChildChannel {
    /// A connection whose protocol is known, or will be.
    struct Value: ServerChildChannelValue {
        enum Connection: Sendable {
            case http1(HTTP1ServerChannel.Value)
            case http2(HTTP2Channel.Value)
        }

        let connection: EventLoopFuture<Connection>
        let channel: any Channel
    }

    private let tls: NIOSSLContext?
    private let http1: HTTP1ServerChannel
    private let http2: HTTP2Channel

    /// - Parameters:
    ///   - tls: nil for cleartext.
    init(tls: NIOSSLContext?, http1: HTTP1ServerChannel, http2: HTTP2Channel) {
        self.tls = tls
        self.http1 = http1
        self.http2 = http2
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
            let promise = channel.eventLoop.makePromise(of: Value.Connection.self)
            let sniffer = ProtocolSniffer(timeout: TimeAmount(http1.limits.headerTimeout), promise: promise) {
                isHTTP2 in
                if isHTTP2 {
                    http2.setup(channel: channel, logger: logger).flatMapThrowing { connection in
                        try channel.sayGoodbye(within: http1.limits.goodbyeTimeout)
                        return .http2(connection)
                    }
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
