import NIOCore

/// Which handler serves which method. A value: fill it before the server is made.
///
/// An `RPCError` a handler throws reaches the caller as it is; `CancellationError` becomes CANCELLED; any other error
/// becomes INTERNAL with a general message. A method without handler is UNIMPLEMENTED.
package struct RPCRouter: Sendable {
    /// A typed call as the server hands it to the method's code.
    struct Call: Sendable {
        let stream: WireStream
        let queue: InboundQueue
        let context: ServerContext
    }

    enum Handler: Sendable {
        /// Runs in a task of the server; what it returns rides on STATUS.
        case typed(@Sendable (Call) async throws -> Frame.Payload?)
        /// Runs on the event loop and returns where events go.
        case raw(@Sendable (RawServerStream) -> @Sendable (RawStreamEvent) -> Void)
    }

    private var handlers: [String: Handler] = [:]

    package init() {}

    func handler(_ fullName: String) -> Handler? {
        handlers[fullName]
    }

    /// Serves a unary method. A later registration of the same method replaces an earlier one.
    package mutating func unary<Request, Response>(
        _ method: RPCMethod<Request, Response>,
        _ handler: @escaping @Sendable (Request, ServerContext) async throws -> Response
    ) {
        unaryWithAttachments(method) { request, context in
            RPCMessage(message: try await handler(request.message, context))
        }
    }

    /// Serves a unary method whose messages carry attachments.
    package mutating func unaryWithAttachments<Request, Response>(
        _ method: RPCMethod<Request, Response>,
        _ handler: @escaping @Sendable (RPCMessage<Request>, ServerContext) async throws -> RPCMessage<Response>
    ) {
        precondition(method.shape == .unary, "\(method.fullName) is not unary")
        handlers[method.fullName] = .typed { call in
            let request: RPCMessage<Request> = try await Self.onlyRequest(call)
            let response = try await handler(request, call.context)
            return try MessageCoding.encode(response.message, attachment: response.attachment)
        }
    }

    /// Serves a server-streaming method; the stream ends with OK when the handler returns.
    package mutating func serverStreaming<Request, Response>(
        _ method: RPCMethod<Request, Response>,
        _ handler: @escaping @Sendable (Request, RPCWriter<Response>, ServerContext) async throws -> Void
    ) {
        precondition(method.shape == .serverStreaming, "\(method.fullName) is not server-streaming")
        handlers[method.fullName] = .typed { call in
            let request: RPCMessage<Request> = try await Self.onlyRequest(call)
            try await handler(request.message, RPCWriter(stream: call.stream, isClient: false), call.context)
            return nil
        }
    }

    /// Serves a bidirectional method; the stream ends with OK when the handler returns.
    package mutating func bidirectional<Request, Response>(
        _ method: RPCMethod<Request, Response>,
        _ handler:
            @escaping @Sendable (RPCRequests<Request>, RPCWriter<Response>, ServerContext) async throws -> Void
    ) {
        precondition(method.shape == .bidirectional, "\(method.fullName) is not bidirectional")
        handlers[method.fullName] = .typed { call in
            let requests = RPCRequests<Request>(
                stream: call.stream, queue: call.queue, decodeFailure: .invalidArgument, lifetime: nil)
            try await handler(requests, RPCWriter(stream: call.stream, isClient: false), call.context)
            return nil
        }
    }

    /// Serves a method on the event loop, without a task. `handler` is called when a stream opens and returns where its
    /// events go; neither may block.
    package mutating func raw(
        _ fullName: String, _ handler: @escaping @Sendable (RawServerStream) -> @Sendable (RawStreamEvent) -> Void
    ) {
        handlers[fullName] = .raw(handler)
    }

    private static func onlyRequest<Request>(_ call: Call) async throws -> RPCMessage<Request> {
        guard let payload = try await call.queue.next(of: call.stream) else {
            throw RPCError(.invalidArgument, "\(call.context.methodFullName) needs one request, got none")
        }
        return try MessageCoding.decode(payload, failure: .invalidArgument)
    }
}
