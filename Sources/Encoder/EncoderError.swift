/// A failure of the sentence encoder. Messages carry names, counts and limits, never the text to be encoded.
package struct EncoderError: Error, CustomStringConvertible {
    /// What kind of failure it is.
    package enum Code: String, Sendable {
        /// The model's files are missing or damaged.
        case modelUnreadable
        /// The model is not the kind of BERT that is implemented.
        case unsupportedModel
        /// A token id outside the vocabulary, or a configuration out of range.
        case invalidInput
        /// Too many texts are waiting.
        case queueFull
    }

    package var code: Code
    package var message: String
    package var cause: (any Error)?

    package init(code: Code, message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { "\(code.rawValue): \(message)" + (cause.map { " (\($0))" } ?? "") }
}
