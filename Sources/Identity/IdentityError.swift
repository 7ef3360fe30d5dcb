/// What can go wrong with keys and the file that holds them. Messages never contain a key.
package struct IdentityError: Error, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// A tenant name or key id that breaks its rule.
        case invalidArgument
        /// The key id is not in the file.
        case keyNotFound
        /// The file cannot be read, written or locked.
        case fileUnavailable
        /// The file is not a key file of a version we know.
        case fileMalformed
    }

    package var code: Code
    package var message: String
    package var cause: (any Error)?

    package init(code: Code, message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { message }
}
