/// A vector that does not belong into an index.
package struct VectorIndexError: Error, Equatable, CustomStringConvertible {
    /// What is wrong with it.
    package enum Code: String, Sendable {
        case dimensionMismatch
        /// A component is NaN or infinite, or the vector has no direction.
        case notFinite
    }

    package var code: Code
    package var message: String

    package init(code: Code, message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { "\(code.rawValue): \(message)" }
}
