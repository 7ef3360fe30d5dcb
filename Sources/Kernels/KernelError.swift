/// Why weights could not be packed or a kernel resource could not be made.
package struct KernelError: Error, CustomStringConvertible {
    /// The kinds of failure.
    package enum Code: Sendable, Equatable {
        /// An element type without a packed form.
        case unsupportedType
        /// Matrices that do not fit together.
        case shapeMismatch
        /// A count or size outside its range.
        case invalidArgument
        /// Memory or threads could not be had.
        case resourceExhausted
    }

    package let code: Code
    /// Got and expected, and the tensor's name where there is one.
    package let message: String
    package let cause: (any Error)?

    package init(code: Code, message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { message }
}
