import InferenceCore
import Wire
import WireProtocols

extension InferenceError {
    /// What a caller sees. Messages of ``InferenceError`` never hold request content, so they travel as they are; only
    /// a defect of this program says nothing about itself.
    ///
    /// - Parameter contextLimit: travels with `contextLengthExceeded`.
    package func rpcError(contextLimit: Int) -> RPCError {
        switch code {
        case .invalidRequest: RPCError(.invalidArgument, message, cause: cause)
        case .contextLengthExceeded:
            RPCError(.outOfRange, message, metadata: [MetadataKey.maxContextTokens: "\(contextLimit)"], cause: cause)
        case .modelNotFound: RPCError(.notFound, message, cause: cause)
        case .notReady: RPCError(.failedPrecondition, message, cause: cause)
        case .queueFull, .outOfBlocks, .outOfMemory:
            RPCError(.resourceExhausted, message, metadata: [MetadataKey.retryAfter: "1"], cause: cause)
        case .shardUnavailable, .draining: RPCError(.unavailable, message, cause: cause)
        case .deadlinePassed: RPCError(.deadlineExceeded, message, cause: cause)
        case .cancelled: RPCError(.cancelled, message, cause: cause)
        case .unsupportedModel:
            RPCError(.unimplemented, message, metadata: [MetadataKey.parameter: "model"], cause: cause)
        case .dataLoss: RPCError(.dataLoss, message, metadata: [MetadataKey.parameter: "model"], cause: cause)
        // The request is the smallest thing that is at fault, and the only one that ends.
        case .notFinite: RPCError(.dataLoss, message, metadata: [MetadataKey.parameter: "prompt"], cause: cause)
        case .internalError: RPCError(.internalError, "the engine failed", cause: self)
        }
    }

    /// A link's failure in the engine's words.
    package init(link error: RPCError, stage: Int) {
        self.init(
            code: .shardUnavailable, message: "pipeline stage \(stage) is unavailable (\(error.code))", cause: error)
    }
}
