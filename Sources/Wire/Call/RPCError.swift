/// Why a call failed. The only error the client throws; a handler that throws it decides what its caller sees.
///
/// `message` is shown to people and travels over the network: it never holds prompts, documents or embeddings.
package struct RPCError: Error, Sendable, CustomStringConvertible {
    /// The class of the failure; never `.ok`.
    package var code: StatusCode
    /// What happened, for people, with what was expected and what was found.
    package var message: String
    /// Hints for the caller, such as "retry-after" in whole seconds.
    package var metadata: Metadata
    /// The local error behind this one; it does not travel.
    package var cause: (any Error)?
    /// True when the peer certainly never saw the call, so that sending it again cannot repeat its effect.
    package var isUnprocessed: Bool

    package init(
        _ code: StatusCode, _ message: String, metadata: Metadata = [:], cause: (any Error)? = nil,
        isUnprocessed: Bool = false
    ) {
        // OK is no failure; treating it as one would make a caller believe in a result that does not exist.
        precondition(code != .ok, "an RPCError cannot have the code OK")
        self.code = code
        self.message = message
        self.metadata = metadata
        self.cause = cause
        self.isUnprocessed = isUnprocessed
    }

    package init(
        code: StatusCode, message: String, metadata: Metadata = [:], cause: (any Error)? = nil
    ) {
        self.init(code, message, metadata: metadata, cause: cause)
    }

    package var description: String { "\(code): \(message)" }

    /// What a caller sees when a handler throws `error`.
    ///
    /// An `RPCError` travels as it is and cancellation becomes CANCELLED. Everything else becomes INTERNAL with a
    /// general message, because an arbitrary error's text may quote private data.
    package init(handlerError error: any Error) {
        switch error {
        case let error as RPCError: self = error
        case is CancellationError: self.init(.cancelled, "the call was cancelled")
        default: self.init(.internalError, "internal error", cause: error)
        }
    }
}
