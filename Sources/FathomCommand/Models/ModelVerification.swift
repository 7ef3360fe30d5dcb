import ArgumentParser
import ModelRegistry

/// What is held against a model's manifest before it is served; the shards' setting `verify-models` has the same words.
package enum ModelVerificationMode: String, CaseIterable, Codable, ExpressibleByArgument, Sendable {
    /// Nothing but sizes.
    case off
    /// Every file must hash to what the manifest says.
    case digest
    /// And the key that was named must have signed the manifest.
    case signature
}

/// `--verify-models` and `--verify-key`.
struct VerificationOptions: ParsableArguments {
    @Option(
        name: .customLong("verify-models"),
        help: ArgumentHelp(
            "Refuse models whose files differ from their manifest (digest, also without a value), or that --verify-key has not signed (signature).",
            valueName: "off|digest|signature"))
    var mode: ModelVerificationMode?

    @Option(
        name: .customLong("verify-key"), help: "Public key, a PEM file, that must have signed the models' manifests.",
        completion: .file())
    var key: String?

    func validate() throws {
        if key != nil, let mode, mode != .signature {
            throw ValidationError("--verify-key goes with --verify-models signature, got \(mode.rawValue)")
        }
        if mode == .signature, key == nil {
            throw ValidationError("--verify-models signature needs the signer's public key: --verify-key FILE")
        }
    }

    /// A key alone asks for its signature.
    var effectiveMode: ModelVerificationMode { mode == nil && key != nil ? .signature : mode ?? .off }

    /// Flags that make a shard check as well, at each of its starts.
    func shardArguments(absolute: (String) -> String) -> [String] {
        guard effectiveMode != .off else { return [] }
        return ["--verify-models", effectiveMode.rawValue] + (key.map { ["--verify-key", absolute($0)] } ?? [])
    }

    /// Checks before anything is started, so that the reason stands on the user's terminal and not in a log.
    ///
    /// - Parameter paths: GGUF files and folders, by the names that people know them by.
    /// - Throws: ``CommandError`` `invalidArgument`, naming each file that is wrong.
    func check(_ paths: [(name: String, path: String)]) throws {
        guard effectiveMode != .off else { return }
        let trusted = try key.map { try PEMFile.verifyingKey($0) }
        var problems: [String] = []
        for (name, path) in paths {
            Terminal.note("  hashing \(TerminalText.line(name))")
            problems += try ModelRegistry.servingProblems(modelAt: path, trusting: trusted)
        }
        guard problems.isEmpty else {
            throw CommandError(
                .invalidArgument,
                "not started, the models are not what they should be:\n  "
                    + problems.joined(separator: "\n  "))
        }
    }
}
