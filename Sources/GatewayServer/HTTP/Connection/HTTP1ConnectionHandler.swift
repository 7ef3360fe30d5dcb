import Foundation
import NIOCore
import NIOHTTP1

/// HTTP/1's rules for one connection (RFC 9112): how answers are framed for the version that asked, when the connection
/// stays open, and what becomes of requests that the parser or the rules refuse.
///
/// Requests of one connection are answered in order, so what is known of each waits in a queue. A connection is closed in
/// two steps (RFC 9112, 9.6): its own side first, then, when the client has closed too or some time has passed, all of it.
/// What comes in between is thrown away; a client that sends all of its body before it reads anything thus finds its
/// answer instead of a reset.
final class HTTP1ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// Largest announced body that is read and thrown away so that the connection can be kept.
    static let maximumDrainSize = 256 * 1024
    /// How long a closed connection waits for its client to close too: with and without a body on its way.
    static let lingerTimes = (receiving: TimeAmount.seconds(30), idle: TimeAmount.seconds(2))
    /// Most bytes thrown away on a closed connection.
    static let maximumLingerSize = 256 << 20

    /// A request that was taken and whose answer has not ended.
    private struct Exchange {
        var isHTTP10: Bool
        var isHead: Bool
    }

    private enum Phase {
        /// Requests are taken.
        case open
        /// No more are. Those that were taken are answered, then the error, if any, is, then the connection ends.
        case ending(APIError?)
        /// Everything was said.
        case lingering
    }

    private let headTimer: HTTP1HeadTimer
    private let onRefusal: @Sendable (APIError) -> Void

    private var phase = Phase.open
    private var exchanges = CircularBuffer<Exchange>(initialCapacity: 2)
    /// Whether the body of the exchange that came last has not ended.
    private var isReceiving = false
    /// Bytes of that body still to come; nil when nobody said.
    private var announcedSize: Int?
    /// Whether its client waits for "100 Continue".
    private var isClientWaiting = false
    /// Whether the answer being written has no body on the wire.
    private var dropsBody = false
    private var lingerTimer: Scheduled<Void>?
    private var lingerSize = 0

    /// - Parameters:
    ///   - onRefusal: told of requests that are answered here and reach no route.
    init(headTimer: HTTP1HeadTimer, onRefusal: @escaping @Sendable (APIError) -> Void) {
        self.headTimer = headTimer
        self.onRefusal = onRefusal
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        lingerTimer?.cancel()
    }

    func channelInactive(context: ChannelHandlerContext) {
        lingerTimer?.cancel()
        context.fireChannelInactive()
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            headTimer.headArrived()
            guard case .open = phase else { return }
            if let error = HTTP1HeadRules.violation(of: head) {
                refuse(error, context: context)
                return
            }
            take(head, context: context)
        case .body(let bytes):
            if case .lingering = phase {
                lingerSize += bytes.readableBytes
                if lingerSize > Self.maximumLingerSize { context.close(promise: nil) }
                return
            }
            guard isReceiving else { return }
            isClientWaiting = false
            announcedSize = announcedSize.map { max(0, $0 - bytes.readableBytes) }
            context.fireChannelRead(data)
        case .end:
            headTimer.requestEnded()
            guard isReceiving else { return }
            isReceiving = false
            if case .lingering = phase { return }
            context.fireChannelRead(data)
        }
    }

    private func take(_ head: HTTPRequestHead, context: ChannelHandlerContext) {
        var head = head
        let isHTTP10 = HTTP1HeadRules.isHTTP10(head)
        // RFC 9110, 10.1.1: a client of HTTP/1.0 cannot mean it.
        if isHTTP10 { head.headers.remove(name: "expect") }
        if HTTP1HeadRules.endsConnection(head) {
            phase = .ending(nil)
            // The one form that Hummingbird knows.
            head.headers.replaceOrAdd(name: "connection", value: "close")
        }
        exchanges.append(Exchange(isHTTP10: isHTTP10, isHead: head.method == .HEAD))
        isReceiving = true
        isClientWaiting = head.headers.contains(name: "expect")
        announcedSize =
            head.headers.contains(name: "transfer-encoding")
            ? nil : head.headers.first(name: "content-length").flatMap { Int(HTTP1HeadRules.trimmed($0)) } ?? 0
        context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        if case .lingering = phase { context.read() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case .lingering = phase { return }
        guard let parserError = error as? HTTPParserError else {
            // The parser repeats itself when more comes after what it could not read.
            if error is ByteToMessageDecoderError { return }
            context.fireErrorCaught(error)
            return
        }
        if isReceiving {
            // The route is told, and answers; what follows on this connection means nothing.
            phase = .ending(nil)
            announcedSize = nil
            context.fireErrorCaught(
                parserError == .invalidEOFState
                    ? APIError.truncatedBody : APIError.malformedRequest("its body is not framed as it says"))
        } else if case .open = phase {
            refuse(APIError(parserError), context: context)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is RequestHeadTimeout:
            if case .open = phase { refuse(.requestTimeout, context: context) }
            return
        case let event as ChannelEvent where event == .inputClosed:
            if case .lingering = phase {
                context.close(promise: nil)
                return
            }
        case is ChannelShouldQuiesceEvent:
            if case .open = phase, !exchanges.isEmpty { phase = .ending(nil) }
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    // MARK: Answers

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head) where (100..<200).contains(head.status.code):
            isClientWaiting = false
            context.write(data, promise: promise)
        case .head(let head):
            context.write(wrapOutboundOut(.head(framed(head))), promise: promise)
        case .body where dropsBody:
            promise?.succeed()
        case .body:
            context.write(data, promise: promise)
        case .end:
            context.write(wrapOutboundOut(.end(nil)), promise: promise)
            if !exchanges.isEmpty { exchanges.removeFirst() }
            if exchanges.isEmpty, case .ending(let error) = phase { conclude(with: error, context: context) }
        }
    }

    /// An answer's head with the fields that its request's version needs.
    private func framed(_ head: HTTPResponseHead) -> HTTPResponseHead {
        var head = head
        let exchange = exchanges.first
        let hasBody = head.status.mayHaveResponseBody
        dropsBody = exchange?.isHead == true || !hasBody
        head.headers.remove(name: "transfer-encoding")
        if !hasBody { head.headers.remove(name: "content-length") }
        if exchange?.isHTTP10 == true { head.version = .http1_0 }
        let isUnframed = !dropsBody && !head.headers.contains(name: "content-length")
        if isUnframed && exchange?.isHTTP10 != true {
            head.headers.add(name: "transfer-encoding", value: "chunked")
        }
        if mustEnd(after: head, isUnframed: isUnframed), case .open = phase { phase = .ending(nil) }
        head.headers.remove(name: "connection")
        if case .ending(nil) = phase, exchanges.count <= 1 {
            head.headers.add(name: "connection", value: "close")
        } else if exchange?.isHTTP10 == true {
            head.headers.add(name: "connection", value: "keep-alive")
        }
        return head
    }

    /// Whether no other answer can follow this one.
    private func mustEnd(after head: HTTPResponseHead, isUnframed: Bool) -> Bool {
        if isUnframed && exchanges.first?.isHTTP10 == true { return true }
        if head.status == .requestTimeout { return true }
        guard isReceiving && exchanges.count <= 1 else { return false }
        // An answer before the end of the request: a small rest is read and forgotten. A client that waits for a word may
        // send its body or not, so what comes next could be either.
        guard let announcedSize, !isClientWaiting else { return true }
        return announcedSize > Self.maximumDrainSize
    }

    // MARK: Ends

    /// Takes no more requests and answers `error` when its turn comes.
    private func refuse(_ error: APIError, context: ChannelHandlerContext) {
        phase = .ending(error)
        onRefusal(error)
        if exchanges.isEmpty { conclude(with: error, context: context) }
    }

    private func conclude(with error: APIError?, context: ChannelHandlerContext) {
        if let error {
            let (head, body) = Self.answer(error)
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
            context.write(wrapOutboundOut(.end(nil)), promise: nil)
        }
        phase = .lingering
        context.flush()
        context.close(mode: .output, promise: nil)
        let channel = context.channel
        lingerTimer = context.eventLoop.scheduleTask(
            in: isReceiving ? Self.lingerTimes.receiving : Self.lingerTimes.idle
        ) { channel.close(promise: nil) }
        context.read()
    }

    private static func answer(_ error: APIError) -> (HTTPResponseHead, ByteBuffer) {
        var writer = JSONWriter()
        writer.write(error.json)
        let body = ByteBuffer(bytes: writer.bytes)
        var headers: HTTPHeaders = [
            "content-type": "application/json", "content-length": "\(body.readableBytes)", "connection": "close",
            "server": Gateway.serverName, "x-request-id": RequestMiddleware.requestID(nil),
        ]
        if let date = HTTPDate.text(of: Date()) { headers.add(name: "date", value: date) }
        return (
            HTTPResponseHead(
                version: .http1_1, status: HTTPResponseStatus(statusCode: error.status), headers: headers), body
        )
    }
}

extension APIError {
    /// What the client of a request sees that HTTP/1's parser could not read.
    fileprivate init(_ error: HTTPParserError) {
        switch error {
        case .headerOverflow:
            self.init(
                status: 431, message: "The header of the request is larger than this server takes.",
                type: "invalid_request_error", code: "header_too_large")
        case .invalidVersion:
            self.init(
                status: 505, message: "This server speaks HTTP/1.1, HTTP/1.0 and HTTP/2.",
                type: "invalid_request_error", code: "http_version_not_supported")
        case .invalidMethod:
            self.init(
                status: 501, message: "The request's method is not known.", type: "invalid_request_error",
                code: "not_implemented")
        case .invalidContentLength, .unexpectedContentLength:
            self = .malformedRequest("its 'Content-Length' is not one number, or not the only word on its length")
        case .invalidHeaderToken: self = .malformedRequest("a header field is not written as HTTP asks")
        case .invalidURL: self = .malformedRequest("its target is no path")
        default: self = .malformedRequest("it is not written as HTTP/1.1 asks")
        }
    }
}
