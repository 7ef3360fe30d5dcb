/// What can go wrong while models are fetched, listed or verified.
package struct ModelRegistryError: Error, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// A name, reference or option that breaks its rule.
        case invalidArgument
        /// The name is neither installed nor in the catalogue.
        case modelNotFound
        /// A `fathom-model.json` that cannot be read or says impossible things.
        case manifestMalformed
        /// A file's size or SHA-256 is not what it should be.
        case checksumMismatch
        /// The source could not be reached or answered with something else than the file.
        case downloadFailed
        /// Another pull holds the registry.
        case busy
        /// The file system refused.
        case fileUnavailable
    }

    package var code: Code
    /// For people; names the file or model concerned.
    package var message: String
    package var cause: (any Error)?

    package init(code: Code, message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { message }
}
