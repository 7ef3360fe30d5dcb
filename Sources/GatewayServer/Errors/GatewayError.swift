/// Why a gateway cannot start or run. Errors of single requests are `APIError`s.
package struct GatewayError: Error, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// A configuration value that cannot be used.
        case invalidConfiguration
        /// The state directory cannot be read or written.
        case stateUnavailable
        /// The disk of the state directory is full.
        case insufficientStorage
    }

    package var code: Code
    package var message: String
    package var cause: (any Error)?

    package init(code: Code, message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { "\(code): \(message)" }
}
