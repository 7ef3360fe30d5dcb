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

extension ModelRegistryError {
    /// What was asked for is no model here: says what can be done, which depends on what the user seems to mean.
    static func notFound(_ text: String, in directory: String, missing: String? = nil) -> ModelRegistryError {
        let message: String
        if text.isEmpty {
            message = "no model is named"
        } else if text.hasPrefix("hf:") || text.hasPrefix("pypi:") {
            message =
                "\(text) is a source; run `fathom model pull \(text)` first, then use the name it is installed under"
        } else if ModelReference(text) == nil || text.hasSuffix(".gguf") {
            message = "\(text): there is no such file or folder, and it is not the name of a model"
        } else if ModelCatalogue.recipe(named: text) != nil {
            message = "model \(text) is not installed in \(directory); run `fathom model pull \(text)`"
        } else {
            message =
                "model \(text) is not installed in \(directory); `fathom model list` shows what is, "
                + "`fathom model pull` and `fathom model import` bring more"
        }
        return ModelRegistryError(
            code: .modelNotFound, message: message + (missing.map { " (\($0) is missing)" } ?? ""))
    }
}
