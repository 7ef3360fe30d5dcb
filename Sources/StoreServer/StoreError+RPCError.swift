import DocumentStore
import Encoder
import Wire
import WireProtocols

/// The one place where the store's errors become status codes.
enum StoreStatus {
    /// What a caller sees of any error of a handler. Messages of `StoreError` and `EncoderError` hold ids, counts and
    /// limits only, so they travel; what is our own fault says nothing about itself.
    static func rpcError(_ error: any Error) -> RPCError {
        switch error {
        case let error as RPCError: error
        case let error as StoreError: rpcError(error)
        case let error as EncoderError: rpcError(error)
        case let error as InputTooLong:
            RPCError(
                .outOfRange, error.description,
                metadata: [
                    MetadataKey.maxContextTokens: "\(error.limit)", MetadataKey.inputIndex: "\(error.index)",
                    MetadataKey.tokenCount: "\(error.tokenCount)",
                ])
        default: RPCError(handlerError: error)
        }
    }

    private static func rpcError(_ error: StoreError) -> RPCError {
        switch error.code {
        case .invalidArgument: RPCError(.invalidArgument, error.message, cause: error.cause)
        case .notFound: RPCError(.notFound, error.message, cause: error.cause)
        case .limitExceeded: RPCError(.resourceExhausted, error.message, cause: error.cause)
        case .insufficientStorage:
            RPCError(
                .resourceExhausted, error.message, metadata: [MetadataKey.errorCode: "insufficient_storage"],
                cause: error.cause)
        case .dataLoss: RPCError(.dataLoss, error.message, cause: error.cause)
        case .unavailable: RPCError(.unavailable, error.message, cause: error.cause)
        case .internalError: RPCError(.internalError, "the store failed", cause: error)
        }
    }

    private static func rpcError(_ error: EncoderError) -> RPCError {
        switch error.code {
        case .invalidInput: RPCError(.invalidArgument, error.message, cause: error.cause)
        case .queueFull:
            RPCError(.resourceExhausted, error.message, metadata: [MetadataKey.retryAfter: "1"], cause: error.cause)
        case .modelUnreadable, .unsupportedModel: RPCError(.internalError, "the encoder failed", cause: error)
        }
    }
}
