/// An error as OpenAI's clients expect it: an HTTP status and `{"error": {"message", "type", "param", "code"}}`.
///
/// Messages are for the developer who made the request. They name parameters, limits and counts; they never quote a
/// prompt, a document or an answer, so they may be logged.
package struct APIError: Error, Sendable, Equatable {
    /// HTTP status, 400...599.
    package var status: Int
    package var message: String
    /// "invalid_request_error", "authentication_error", "rate_limit_error" or "server_error".
    package var type: String
    /// The offending parameter.
    package var parameter: String?
    /// For programs: "context_length_exceeded".
    package var code: String?
    /// Seconds after which a retry makes sense.
    package var retryAfter: Int?
    /// What the path does support, on 405; sent as `Allow`.
    package var allowedMethods: [String] = []

    package init(
        status: Int, message: String, type: String, parameter: String? = nil, code: String? = nil,
        retryAfter: Int? = nil
    ) {
        self.status = status
        self.message = message
        self.type = type
        self.parameter = parameter
        self.code = code
        self.retryAfter = retryAfter
    }

    /// The body.
    package var json: JSONValue {
        [
            "error": [
                "message": .string(message), "type": .string(type), "param": parameter.map { .string($0) } ?? .null,
                "code": code.map { .string($0) } ?? .null,
            ]
        ]
    }

    /// 400 for a request that is wrong whatever the state of the system.
    package static func invalid(_ message: String, parameter: String? = nil, code: String? = nil) -> APIError {
        APIError(status: 400, message: message, type: "invalid_request_error", parameter: parameter, code: code)
    }

    /// 400 for a body that is no JSON object.
    package static func syntax(_ error: JSONSyntaxError) -> APIError {
        .invalid("The request body is not valid JSON: \(error.message).", code: "invalid_json")
    }

    /// 401.
    package static let unauthenticated = APIError(
        status: 401,
        message: "Incorrect API key provided. Send 'Authorization: Bearer fk-…' with a key of your tenant.",
        type: "authentication_error", code: "invalid_api_key")

    /// 401 for a request without a key.
    package static let missingKey = APIError(
        status: 401,
        message: "You didn't provide an API key. Send it in the header 'Authorization: Bearer fk-…'.",
        type: "authentication_error", code: "missing_api_key")

    /// 404 for something that does not exist, or not for this tenant.
    package static func notFound(_ message: String, parameter: String? = nil, code: String? = nil) -> APIError {
        APIError(status: 404, message: message, type: "invalid_request_error", parameter: parameter, code: code)
    }

    /// 404 for a path without a route.
    package static let unknownPath = APIError.notFound("There is nothing at this path.", code: "unknown_url")

    /// 404 for a model that is not served here.
    package static func modelNotFound(_ known: [String]) -> APIError {
        .notFound(
            "The model does not exist here. Available: \(known.isEmpty ? "none yet" : known.joined(separator: ", ")).",
            parameter: "model", code: "model_not_found")
    }

    /// 413.
    package static func tooLarge(limit: Int, what: String) -> APIError {
        APIError(
            status: 413, message: "The \(what) is larger than the limit of \(limit) bytes.",
            type: "invalid_request_error", code: "request_too_large")
    }

    /// 400 for what is no request of HTTP. `reason` goes on after "it cannot be read:".
    package static func malformedRequest(_ reason: String) -> APIError {
        .invalid("The request cannot be read: \(reason).", code: "malformed_request")
    }

    /// 400 for a body that the client did not send to its end.
    package static let truncatedBody = APIError.invalid(
        "The request body ended before its announced end; nothing was kept.", code: "truncated_upload")

    /// 405, with what is allowed instead.
    package static func methodNotAllowed(_ allowed: [String]) -> APIError {
        var error = APIError(
            status: 405, message: "This path supports \(allowed.joined(separator: ", ")) only.",
            type: "invalid_request_error", code: "method_not_allowed")
        error.allowedMethods = allowed
        return error
    }

    /// 408 for a request that does not come, or too slowly.
    package static let requestTimeout = APIError(
        status: 408, message: "The request took too long to arrive, or stopped on its way.",
        type: "invalid_request_error", code: "request_timeout")

    /// 415 for a body in a coding that is not decoded.
    package static let unsupportedEncoding = APIError(
        status: 415, message: "Bodies with a 'Content-Encoding' are not supported; send it as it is.",
        type: "invalid_request_error", code: "unsupported_content_encoding")

    /// 417 for an `Expect` other than "100-continue".
    package static let expectationFailed = APIError(
        status: 417, message: "The only expectation that is supported is '100-continue'.",
        type: "invalid_request_error", code: "expectation_failed")

    /// 507 for a disk that is full, here or in the store.
    package static let insufficientStorage = APIError(
        status: 507, message: "There is no room on the disk for this. What is stored can still be read.",
        type: "server_error", code: "insufficient_storage")

    /// 429 when the bodies on their way fill the room there is for them.
    package static let tooManyBodies = APIError(
        status: 429, message: "The gateway is receiving as much as it has room for. Try again shortly.",
        type: "rate_limit_error", code: "too_many_requests", retryAfter: 1)

    /// 429 when the gateway itself has no room.
    package static func tooManyRequests(limit: Int) -> APIError {
        APIError(
            status: 429, message: "The gateway is serving its limit of \(limit) requests at once. Try again shortly.",
            type: "rate_limit_error", code: "too_many_requests", retryAfter: 1)
    }

    /// 503 for a part that is missing.
    package static func unavailable(_ message: String) -> APIError {
        APIError(status: 503, message: message, type: "server_error", code: "service_unavailable", retryAfter: 1)
    }

    /// 500 that says nothing about its cause.
    package static let internalError = APIError(
        status: 500, message: "The server had an error while processing your request.", type: "server_error",
        code: "internal_error")

    /// 499, nginx's word for a client that went away; nobody reads it but the log.
    package static let clientClosed = APIError(
        status: 499, message: "The client closed the connection.", type: "invalid_request_error",
        code: "client_closed_request")
}
