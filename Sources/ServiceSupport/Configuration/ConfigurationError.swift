/// A setting that cannot be used. The message names the key, where it came from, what was got and what is expected; it
/// is printed as the one line with which a process refuses to start.
package struct ConfigurationError: Error, CustomStringConvertible {
    /// What is wrong with the setting.
    package enum Code: Sendable {
        /// The file cannot be read or is not YAML.
        case unreadableFile
        /// The file has a key that this service does not know.
        case unknownKey
        /// The value has the wrong form or is out of range.
        case invalidValue
        /// A setting without default was not given.
        case missingValue
    }

    package let code: Code
    package let message: String
    package let cause: (any Error)?

    package init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { message }
}
