/// Why a tensor could not be described or read.
package struct TensorError: Error, CustomStringConvertible {
    /// The kinds of failure.
    package enum Code: Sendable, Equatable {
        /// Shape, element type and byte count contradict each other.
        case invalidShape
        /// A row or range outside the tensor.
        case outOfRange
        /// An element type this operation does not know.
        case unsupportedType
        /// Memory for a copy could not be had.
        case outOfMemory
    }

    package let code: Code
    /// Names the tensor, and what was got and expected.
    package let message: String
    package let cause: (any Error)?

    package init(code: Code, message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { message }
}
