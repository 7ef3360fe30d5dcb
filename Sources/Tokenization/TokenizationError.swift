import ModelFiles

/// A vocabulary that no tokeniser can be made of, or a text that one cannot encode.
package struct TokenizationError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable {
        /// A tokeniser or pre-tokeniser of a kind that is not implemented.
        case unsupported
        /// A vocabulary, merge list or token id that contradicts itself.
        case malformed
        /// The vocabulary file cannot be read.
        case inputOutput
        /// A text that the tokeniser's own rules make too long, or take too long for.
        case tooMuchWork
    }

    package let code: Code
    /// Names the file or metadata, what was got and what was expected.
    package let message: String
    package let cause: (any Error)?

    package init(code: Code, message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message.printable
        self.cause = cause
    }

    package var description: String { "\(code.rawValue): \(message)" }
}
