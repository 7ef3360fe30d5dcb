/// A chat template that cannot be parsed, or that refused or failed to render.
package struct ChatTemplateError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable {
        /// The template is not valid, or uses a tag, filter or test that is not implemented.
        case syntax
        /// An operation that its operands do not allow, an undefined value used, or a missing item.
        case evaluation
        /// The template itself called `raise_exception`: the messages are not in a form it accepts.
        case raised
        /// A bound on steps, output, depth or value size was reached.
        case limitExceeded
        /// JSON text that is not valid.
        case invalidJSON
    }

    package let code: Code
    /// What went wrong; for `raised`, the template's own words.
    package let message: String
    /// The template's line, from 1; nil for errors outside the template.
    package let line: Int?
    package let cause: (any Error)?

    package init(code: Code, message: String, line: Int? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.line = line
        self.cause = cause
    }

    package var description: String {
        "\(code.rawValue): " + (line.map { "chat template, line \($0): " } ?? "") + message
    }
}
