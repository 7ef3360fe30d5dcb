import HTTPTypes
import Hummingbird
import Identity
import Logging
import NIOCore

/// What every request goes through: an id, the API key, the limits, errors in OpenAI's shape, what HTTP and browsers ask
/// of every answer, one log line, metrics.
struct RequestMiddleware: RouterMiddleware {
    typealias Context = GatewayContext

    /// The routes that need no key: they tell nothing of any tenant.
    static let openPaths: Set<String> = ["/livez", "/readyz", "/readyz/gateway", "/health", "/metrics"]

    let keys: KeyStore
    let limiter: RequestLimiter
    /// Of JSON bodies, in memory, and of uploads, on disk.
    let bodyBudget: ByteBudget
    let uploadBudget: ByteBudget
    let routes: RouteTable
    let cors: CORSPolicy
    let metrics: GatewayMetrics
    let logger: Logger

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        var context = context
        context.requestID = Self.requestID(request.headers[.requestID])
        var admission: Admission?
        var response: Response
        do {
            if let refusal = context.refusal { throw refusal }
            if request.method == .options {
                response = try options(request)
            } else if Self.openPaths.contains(request.uri.path) {
                response = try await next(request, context)
            } else {
                context.principal = try authenticate(request)
                response = try await serve(request, &context, &admission, next: next)
            }
        } catch {
            let apiError = APIError(any: error, allowedMethods: routes.methods(of: request.uri.path))
            if apiError.status >= 500 { logFailure(error, apiError, context) }
            response = Self.response(apiError)
        }
        response.headers[.requestID] = context.requestID
        cors.decorate(&response.headers, origin: request.headers[.origin])
        if context.method == .head { response = Self.headResponse(response) }
        let method = context.method.rawValue
        let status = response.status.code
        let finish: @Sendable () -> Void = { [context, admission] in
            finished(context, method: method, status: status, start: start)
            admission?.release()
        }
        guard response.body.contentLength == nil else {
            finish()
            return response
        }
        // A stream's request ends when its last byte is written.
        let body = response.body
        response.body = ResponseBody { writer in
            defer { finish() }
            try await body.write(writer)
        }
        return response
    }

    /// Hands an authenticated request to its route. It takes its place among the requests being served at once, or when its
    /// body has come.
    private func serve(
        _ request: Request, _ context: inout Context, _ admission: inout Admission?,
        next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        try Self.checkHeaders(request.headers)
        var request = request
        let isUpload = request.headers[.contentType]?.lowercased().hasPrefix("multipart/") == true
        let entrance = Admission(limiter: limiter, budget: isUpload ? uploadBudget : bodyBudget)
        admission = entrance
        switch request.method {
        case .post, .put, .patch:
            let isWaiting = request.headers[.expect] != nil
            request.body = RequestBody(
                asyncSequence: AdmittedBody(
                    base: request.body, admission: entrance, channel: isWaiting ? context.channel : nil))
        default: try entrance.enter()
        }
        if context.coreContext.parameters.contains(where: { $0.value.utf8.contains(UInt8(ascii: "%")) }) {
            context.coreContext.parameters = Parameters(
                context.coreContext.parameters.map { (key: $0.key, value: RequestTarget.decoded($0.value)[...]) })
        }
        return try await next(request, context)
    }

    /// Refuses what would change the meaning of a request and is not done.
    private static func checkHeaders(_ headers: HTTPFields) throws(APIError) {
        if let expectation = headers[.expect], expectation.lowercased() != "100-continue" { throw .expectationFailed }
        if let coding = headers[.contentEncoding], !["", "identity"].contains(coding.lowercased()) {
            throw .unsupportedEncoding
        }
    }

    /// Answers OPTIONS, which needs no key: a browser's preflight has none, and what a path supports is in the documents.
    private func options(_ request: Request) throws(APIError) -> Response {
        let methods = routes.methods(of: request.uri.path)
        guard !methods.isEmpty else { throw .unknownPath }
        var response = Response(status: .noContent)
        response.headers[.allow] = methods.joined(separator: ", ")
        if request.headers[.accessControlRequestMethod] != nil {
            cors.decoratePreflight(
                &response.headers, origin: request.headers[.origin], methods: methods,
                requestedHeaders: request.headers[.accessControlRequestHeaders])
        }
        return response
    }

    /// The same without its body, and with the length that it would have, where that is known.
    private static func headResponse(_ response: Response) -> Response {
        let length = response.headers[.contentLength]
        var response = response.createHeadResponse()
        response.headers[.contentLength] = length
        return response
    }

    private func authenticate(_ request: Request) throws(APIError) -> Principal {
        guard let header = request.headers[.authorization] else { throw .missingKey }
        let parts = header.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard parts.count == 2, parts[0].lowercased() == "bearer",
            let principal = keys.authenticate(parts[1].trimmingPrefix(while: { $0 == " " }))
        else { throw .unauthenticated }
        return principal
    }

    private func finished(_ context: Context, method: String, status: Int, start: ContinuousClock.Instant) {
        let duration = ContinuousClock.now - start
        // Hummingbird calls paths without a route "NotFound".
        let route = context.endpointPath.flatMap { $0.hasPrefix("/") ? $0 : nil } ?? "unmatched"
        let record = context.record.current
        metrics.count(route: route, status: status, duration: duration, model: record.model)
        if let usage = record.usage { metrics.count(usage, model: record.model) }
        var metadata: Logger.Metadata = [
            "request.id": "\(context.requestID)", "http.method": "\(method)", "http.route": "\(route)",
            "http.status": "\(status)", "duration.ms": "\(Int(duration.inSeconds * 1_000))",
        ]
        if !context.principal.tenant.isEmpty {
            metadata["tenant.id"] = "\(context.principal.tenant)"
            metadata["key.id"] = "\(context.principal.keyID)"
        }
        if let usage = record.usage {
            metadata["tokens.prompt"] = "\(usage.promptTokens)"
            metadata["tokens.completion"] = "\(usage.completionTokens)"
        }
        if let model = record.model { metadata["model"] = "\(model)" }
        if let cache = record.cache { metadata["cache"] = "\(cache)" }
        if let code = record.streamError { metadata["error.code"] = "\(code)" }
        // Probes come several times a second and say nothing.
        let level: Logger.Level = Self.openPaths.contains(route) ? .debug : .info
        logger.log(level: level, "Request served", metadata: metadata)
    }

    /// A failure of ours. The error's own text could quote anything, so only its type and code are logged.
    private func logFailure(_ error: any Error, _ apiError: APIError, _ context: Context) {
        logger.error(
            "Request failed",
            metadata: [
                "request.id": "\(context.requestID)", "error.type": "\(type(of: error))",
                "error.code": "\(apiError.code ?? "")", "http.status": "\(apiError.status)",
            ])
    }

    /// The client's id when it is harmless, else a new one.
    static func requestID(_ header: String?) -> String {
        if let header, (1...128).contains(header.utf8.count), header.utf8.allSatisfy(isIDByte) { return header }
        return "req_" + Hex.encode((0..<12).map { _ in UInt8.random(in: .min ... .max) })
    }

    private static func isIDByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    static func response(_ error: APIError) -> Response {
        var writer = JSONWriter()
        writer.write(error.json)
        var response = Response.json(writer.bytes, status: HTTPResponse.Status(code: error.status))
        if let seconds = error.retryAfter { response.headers[.retryAfter] = String(seconds) }
        if error.status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
        if !error.allowedMethods.isEmpty { response.headers[.allow] = error.allowedMethods.joined(separator: ", ") }
        // RFC 9110, 12.5.3: says what would have been taken.
        if error.status == 415 { response.headers[.acceptEncoding] = "identity" }
        return response
    }
}

extension Response {
    /// A JSON document as an answer.
    static func json(_ bytes: [UInt8], status: HTTPResponse.Status = .ok) -> Response {
        var headers = HTTPFields()
        headers[.contentType] = "application/json"
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    /// A JSON document as an answer.
    static func json(_ value: JSONValue, status: HTTPResponse.Status = .ok) -> Response {
        var writer = JSONWriter()
        writer.write(value)
        return .json(writer.bytes, status: status)
    }
}
