import Hummingbird
import NIOCore
import Wire
import WireProtocols

extension APIError {
    /// The one place where the status of an upstream call becomes what a client sees.
    ///
    /// Messages of INVALID_ARGUMENT, OUT_OF_RANGE, NOT_FOUND and RESOURCE_EXHAUSTED, and of DATA_LOSS and UNIMPLEMENTED
    /// about a model or a prompt, are written for the requester and pass; those of other codes describe our insides and are
    /// replaced.
    package init(_ error: RPCError) {
        switch error.code {
        case .resourceExhausted where error.metadata[Self.errorCodeKey] == Self.insufficientStorage.code:
            self = .insufficientStorage
        case .invalidArgument:
            self = .invalid(error.message, parameter: error.metadata["param"])
        case .outOfRange:
            self = .contextLengthExceeded(
                limit: error.metadata[MetadataKey.maxContextTokens], found: error.message,
                parameter: error.metadata[MetadataKey.parameter])
        case .notFound:
            self = .notFound(error.message, code: "not_found")
        case .alreadyExists:
            self = APIError(
                status: 409, message: error.message, type: "invalid_request_error", code: "already_exists")
        case .resourceExhausted:
            self = APIError(
                status: 429, message: error.message, type: "rate_limit_error", code: "resource_exhausted",
                retryAfter: error.metadata["retry-after"].flatMap(Int.init) ?? 1)
        case .unavailable:
            self = .unavailable("A part of the service is not available right now. Try again shortly.")
        case .failedPrecondition:
            self = .unavailable("The service is not ready. Try again shortly.")
        case .deadlineExceeded:
            self = APIError(
                status: 504, message: "The request took longer than its deadline allows.", type: "server_error",
                code: "deadline_exceeded")
        case .cancelled:
            self = .clientClosed
        case .unimplemented where error.metadata["param"] == "model",
            .dataLoss where error.metadata["param"] == "model":
            self = APIError(
                status: 500, message: error.message, type: "server_error", parameter: "model", code: "model_unusable")
        case .dataLoss where error.metadata["param"] == "prompt":
            self = APIError(status: 500, message: error.message, type: "server_error", code: "not_finite")
        case .unimplemented:
            self = APIError(
                status: 501, message: "This is not supported here.", type: "server_error", code: "not_supported")
        default:
            self = .internalError
        }
    }

    /// Metadata of an upstream's error with which it says its `code` where the status alone is too coarse.
    private static let errorCodeKey = "fathom-error-code"

    /// What a client sees of any error.
    ///
    /// - Parameters:
    ///   - allowedMethods: of the request's path: whether "not found" is about the path or about the method.
    package init(any error: any Error, allowedMethods: @autoclosure () -> [String] = []) {
        switch error {
        case let error as APIError: self = error
        case let error as RPCError: self.init(error)
        case let error as JSONSyntaxError: self = .syntax(error)
        case let error as GatewayError where error.code == .insufficientStorage: self = .insufficientStorage
        case is CancellationError: self = .clientClosed
        case is NIOTooManyBytesError:
            self = .tooLarge(limit: GatewayConfiguration.defaultBodyLimit, what: "request body")
        case let error as HTTPError where error.status == .notFound:
            let allowed = allowedMethods()
            self = allowed.isEmpty ? .unknownPath : .methodNotAllowed(allowed)
        case let error as HTTPError where (400..<500).contains(error.status.code):
            self = APIError(
                status: error.status.code, message: "The request was refused: \(error.status.reasonPhrase).",
                type: "invalid_request_error")
        default: self = .internalError
        }
    }
}
