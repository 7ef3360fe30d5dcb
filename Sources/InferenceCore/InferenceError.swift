/// What went wrong while accepting or running a sequence.
///
/// Messages say what was got and what was expected. They never hold prompt or completion text.
package struct InferenceError: Error, Sendable, CustomStringConvertible {
    /// The kinds of failure a caller can act upon.
    package enum Code: String, Sendable, CaseIterable {
        /// A parameter is out of its range, or the prompt is empty.
        case invalidRequest
        /// Prompt (and at least one completion token) do not fit the context window.
        case contextLengthExceeded
        /// The named model is not the one served.
        case modelNotFound
        /// The model is loading or the stages have not agreed yet.
        case notReady
        /// The model does not fit in the memory that models may take.
        case outOfMemory
        /// The waiting queue is full; try again later.
        case queueFull
        /// The sequence needs more KV cache blocks than exist.
        case outOfBlocks
        /// A pipeline stage cannot be reached or stopped answering.
        case shardUnavailable
        /// The process is shutting down.
        case draining
        /// The request's deadline passed.
        case deadlinePassed
        /// The caller gave up.
        case cancelled
        /// The model's architecture or a tensor's type is not supported.
        case unsupportedModel
        /// The model file does not hold what it should.
        case dataLoss
        /// The model computed no finite number for this sequence.
        case notFinite
        /// A defect of this program.
        case internalError
    }

    /// The kind of failure.
    package let code: Code
    /// Got and expected, in words; safe to log and to show.
    package let message: String
    /// The error beneath, if there is one.
    package let cause: (any Error)?

    /// - Parameters:
    ///   - code: the kind of failure.
    ///   - message: got and expected, without any request content.
    ///   - cause: the error beneath.
    package init(code: Code, message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String {
        "\(code.rawValue): \(message)"
    }
}
