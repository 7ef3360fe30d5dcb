import HTTPTypes
import Hummingbird
import Identity
import Logging
import NIOCore

/// What every request goes through: an id, the API key, the limit, errors in OpenAI's shape, one log line, metrics.
struct RequestMiddleware: RouterMiddleware {
    typealias Context = GatewayContext

    /// The routes that need no key: they tell nothing of any tenant.
    static let openPaths: Set<String> = ["/livez", "/readyz", "/metrics"]

    let keys: KeyStore
    let limiter: RequestLimiter
    let metrics: GatewayMetrics
    let logger: Logger

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        var context = context
        context.requestID = Self.requestID(request.headers[.requestID])
        var lease: RequestLimiter.Lease?
        var response: Response
        do {
            if !Self.openPaths.contains(request.uri.path) {
                context.principal = try authenticate(request)
                lease = limiter.acquire()
                guard lease != nil else { throw APIError.tooManyRequests(limit: limiter.limit) }
            }
            response = try await next(request, context)
        } catch {
            let apiError = APIError(any: error)
            if apiError.status >= 500 { logFailure(error, apiError, context) }
            response = Self.response(apiError)
        }
        response.headers[.requestID] = context.requestID
        let method = request.method.rawValue
        let status = response.status.code
        let finish: @Sendable () -> Void = { [context, lease] in
            finished(context, method: method, status: status, start: start)
            lease?.release()
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
        metrics.count(route: route, status: status, duration: duration)
        if let usage = record.usage { metrics.count(usage) }
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
