import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1

/// An HTTP/1 connection: NIO's parser, our rules, Hummingbird's loop over requests.
///
/// Hummingbird's own channel hides the version of a request and answers what cannot be parsed without a body.
struct HTTP1ServerChannel: HTTPChannelHandler {
    typealias Value = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

    /// Most bytes of a request's head, and fields in it.
    static let maximumHeaderSize = 32 * 1024
    static let maximumHeaderCount = 200

    let responder: HTTPChannelHandler.Responder
    let limits: HTTPLimits
    /// Longest silence between requests.
    let idleTimeout: Duration
    /// Told of requests that reach no route.
    let onRefusal: @Sendable (APIError) -> Void

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            var decoderLimits = NIOHTTPDecoderLimitConfiguration()
            decoderLimits.maxHeaderFieldSize = Self.maximumHeaderSize
            decoderLimits.maxHeaderListSize = Self.maximumHeaderSize
            decoderLimits.maxHeaderFieldCount = Self.maximumHeaderCount
            var encoder = HTTPResponseEncoder.Configuration()
            encoder.automaticallySetFramingHeaders = false
            let pipeline = channel.pipeline.syncOperations
            let headTimer = HTTP1HeadTimer(timeout: limits.headerTimeout)
            try pipeline.addHandler(headTimer)
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: false, withErrorHandling: false, withOutboundHeaderValidation: false,
                withEncoderConfiguration: encoder, withDecoderLimitConfiguration: decoderLimits)
            try pipeline.addHandler(HTTP1ConnectionHandler(headTimer: headTimer, onRefusal: onRefusal))
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: false))
            try pipeline.addHandler(ClientGoneHandler())
            try pipeline.addHandler(ExchangeHandler(limits))
            try pipeline.addHandler(HTTPConnectionStateHandler(idleTimeout: idleTimeout, logger: logger))
            return try NIOAsyncChannel(
                wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
        }
    }

    func handle(value: Value, logger: Logger) async {
        await handleHTTP(asyncChannel: value, logger: logger)
    }
}
