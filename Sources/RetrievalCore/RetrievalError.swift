/// A document that cannot become searchable text, or parameters that make no sense.
///
/// Messages name offsets, counts and limits, never the document's content.
package struct RetrievalError: Error, Equatable, CustomStringConvertible {
    /// What kind of failure it is; the raw values are those that an attachment's status reports.
    package enum Code: String, Sendable {
        /// Text that is damaged: not UTF-8, or without a single word.
        case invalidFile = "invalid_file"
        /// Content that is not text at all, or a format nobody here reads.
        case unsupportedFile = "unsupported_file"
        /// A bound was exceeded, or a parameter is out of its range.
        case invalidParameter = "invalid_parameter"
    }

    package var code: Code
    package var message: String

    package init(code: Code, message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { "\(code.rawValue): \(message)" }
}
