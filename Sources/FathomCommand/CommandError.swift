#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Why a command of the tool could not do what it was asked; printed after "Error: ", ends with exit status 1.
package struct CommandError: Error, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// An option or argument that breaks its rule.
        case invalidArgument
        /// No cluster runs in this home, or not the one that its files describe.
        case notRunning
        /// A cluster runs in this home already.
        case alreadyRunning
        /// A process of the cluster did not start.
        case startFailed
        /// A service answered with an error, or not at all.
        case requestFailed
        /// Something was not ready in time.
        case timedOut
        /// The file system refused.
        case fileUnavailable
    }

    package var code: Code
    /// For people; says what to do where that is known.
    package var message: String
    package var cause: (any Error)?

    package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { message }

    /// `what` and the text of `errno`, while that is still the one of the failed call.
    static func system(_ what: String) -> CommandError {
        let number = errno
        return CommandError(.fileUnavailable, "\(what): \(String(cString: strerror(number)))")
    }
}
