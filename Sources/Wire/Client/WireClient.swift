import Logging
import NIOCore
import NIOPosix
import SwiftProtobuf

/// Calls the methods of a server over one connection, which it keeps.
///
/// Connects when the first call is made and, from then on, whenever the connection is lost, with growing pauses. A call
/// made meanwhile waits, see `CallOptions.waitForReady`. Calls in flight on a lost connection fail at once with
/// UNAVAILABLE. After GO_AWAY new calls go to a new connection while those in flight finish on the old one.
///
/// Every method throws `RPCError` only.
package final class WireClient: Sendable {
    /// How often a call is made anew when the peer certainly never saw it.
    private static let maxAttempts = 3

    private let connector: Connector

    /// - Parameters:
    ///   - eventLoopGroup: Where the connection lives; the process-wide one by default.
    package init(
        target: WireTarget, configuration: WireClientConfiguration = .init(),
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, logger: Logger
    ) {
        connector = Connector(
            target: target, configuration: configuration, eventLoop: eventLoopGroup.next(), logger: logger)
    }

    deinit {
        connector.beginClose()
    }

    /// True while there is a connection that takes new calls.
    package var isConnected: Bool { connector.isReady }

    /// Ends all calls with CANCELLED and closes. The client cannot be used again.
    package func close() async {
        await connector.close()
    }

    /// Waits until there is a connection.
    ///
    /// - Throws: as a call with these options would.
    package func waitUntilConnected(options: CallOptions = .init()) async throws {
        _ = try await connector.connection(deadline: options.deadline(now: .now), waitForReady: options.waitForReady)
    }

    // MARK: Calls

    /// Makes a unary call.
    ///
    /// - Throws: `RPCError`: what the server answered, or UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED from this side.
    package func unary<Request, Response>(
        _ method: RPCMethod<Request, Response>, _ request: Request, attachment: ByteBuffer? = nil,
        options: CallOptions = .init()
    ) async throws -> Response {
        try await unaryWithAttachments(method, RPCMessage(message: request, attachment: attachment), options: options)
            .message
    }

    /// Makes a unary call whose response may carry an attachment.
    ///
    /// - Throws: as ``unary(_:_:attachment:options:)``.
    package func unaryWithAttachments<Request, Response>(
        _ method: RPCMethod<Request, Response>, _ request: RPCMessage<Request>, options: CallOptions = .init()
    ) async throws -> RPCMessage<Response> {
        precondition(method.shape == .unary, "\(method.fullName) is not unary")
        let payload = try MessageCoding.encode(request.message, attachment: request.attachment)
        let response = try await withConnection(method.fullName, options) { connection, open, deadline in
            let sink = UnarySink()
            let stream = connection.makeStream(sink)
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    sink.wait(continuation)
                    connection.open(stream, open, first: payload, endStream: true, deadline: deadline)
                }
            } onCancel: {
                stream.cancel(Self.cancelled)
            }
        }
        return try MessageCoding.decode(response, failure: .internalError)
    }

    /// Makes a call with one request and a stream of responses. Returns when the request is on its way.
    ///
    /// Read the responses with one `for try await`. Cancelling the reading task, or leaving the loop early, cancels the
    /// call.
    package func serverStreaming<Request, Response>(
        _ method: RPCMethod<Request, Response>, _ request: Request, attachment: ByteBuffer? = nil,
        options: CallOptions = .init()
    ) async throws -> RPCResponses<Response> {
        precondition(method.shape == .serverStreaming, "\(method.fullName) is not server-streaming")
        let payload = try MessageCoding.encode(request, attachment: attachment)
        let (stream, queue) = try await open(method.fullName, options, first: payload, endStream: true)
        return RPCResponses(
            stream: stream, queue: queue, decodeFailure: .internalError, lifetime: CallLifetime(stream))
    }

    /// Makes a bidirectional call for as long as `body` runs: its end cancels the call, unless the server ended it.
    ///
    /// Call `writer.finish()` when no more requests follow, and read the responses to their end to know the outcome.
    ///
    /// - Throws: What `body` throws.
    package func bidirectional<Request, Response, Result>(
        _ method: RPCMethod<Request, Response>, options: CallOptions = .init(),
        _ body: (RPCWriter<Request>, RPCResponses<Response>) async throws -> Result
    ) async throws -> Result {
        precondition(method.shape == .bidirectional, "\(method.fullName) is not bidirectional")
        let (stream, queue) = try await open(method.fullName, options, first: nil, endStream: false)
        let lifetime = CallLifetime(stream)
        defer { withExtendedLifetime(lifetime) {} }
        return try await withTaskCancellationHandler {
            try await body(
                RPCWriter(stream: stream, isClient: true),
                RPCResponses(stream: stream, queue: queue, decodeFailure: .internalError, lifetime: nil))
        } onCancel: {
            stream.cancel(Self.cancelled)
        }
    }

    /// Opens a raw stream: a bidirectional call whose events arrive on the event loop, without tasks or decoding.
    ///
    /// Events may arrive before this returns. `options.timeout` limits the whole stream.
    package func rawStream(
        _ methodFullName: String, options: CallOptions = .init(),
        onEvent: @escaping @Sendable (RawStreamEvent) -> Void
    ) async throws -> RawStream {
        let stream = try await withConnection(methodFullName, options) { connection, open, deadline in
            // Events of an attempt that never got a stream are not the caller's: they become the error thrown here.
            let stream = connection.makeStream(RawSink(onEvent))
            try await connection.openAndWait(stream, open, first: nil, endStream: false, deadline: deadline)
            return stream
        }
        return RawStream(stream: stream)
    }

    private func open(
        _ method: String, _ options: CallOptions, first: Frame.Payload?, endStream: Bool
    ) async throws -> (WireStream, InboundQueue) {
        try await withConnection(method, options) { connection, open, deadline in
            let queue = InboundQueue(meter: connection.meter)
            let stream = connection.makeStream(queue)
            try await connection.openAndWait(stream, open, first: first, endStream: endStream, deadline: deadline)
            return (stream, queue)
        }
    }

    /// Runs `body` with a connection, again with another one when the peer certainly never saw the call.
    private func withConnection<Result>(
        _ method: String, _ options: CallOptions,
        _ body: (ClientConnection, Frame.Open, ContinuousClock.Instant?) async throws -> Result
    ) async throws -> Result {
        if let problem = options.metadata.problem() { throw RPCError(.invalidArgument, problem) }
        let deadline = options.deadline(now: .now)
        let open = Frame.Open(method: method, metadata: options.metadata)
        for _ in 1..<Self.maxAttempts {
            let connection = try await connector.connection(deadline: deadline, waitForReady: options.waitForReady)
            do {
                return try await body(connection, open, deadline)
            } catch let error as RPCError where error.isUnprocessed {
                continue
            }
        }
        let connection = try await connector.connection(deadline: deadline, waitForReady: options.waitForReady)
        return try await body(connection, open, deadline)
    }

    private static let cancelled = RPCError(.cancelled, "the call was cancelled")
}
