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
