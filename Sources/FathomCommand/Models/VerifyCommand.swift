import ArgumentParser
import Foundation
import ModelRegistry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

extension ModelCommand {
    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Hashes files and tensors against the manifest; exit status 1, naming what is wrong.")

        @Argument(help: "Installed models, or folders with a \(ModelManifest.fileName) (default: all installed).")
        var models: [String] = []

        @Option(
            help: "Public key, a PEM file, that must have signed the manifest; then files outside of it fail too.",
            completion: .file())
        var key: String?

        func run() throws {
            let registry = ModelRegistry.standard()
            let trusted = try key.map { try PEMFile.verifyingKey($0) }
            let names = try models.isEmpty ? registry.installed().map(\.reference.description) : models
            var isIntact = true
            for name in names {
                let folder = try ModelLocation.folder(name, registry: registry)
                let unlisted = try ModelRegistry.unlistedFiles(folder: folder).map {
                    "\(folder)/\($0): not in the manifest"
                }
                // A file that nobody signed may change what the model does: a chat template, a tokeniser's settings.
                let problems =
                    try ModelRegistry.verify(folder: folder, trusting: trusted).problems
                    + (trusted == nil ? [] : unlisted)
                isIntact = isIntact && problems.isEmpty
                let manifest = try ModelManifest.load(path: folder + "/" + ModelManifest.fileName)
                Terminal.write(
                    problems.isEmpty
                        ? "\(name): ok\(Self.signature(manifest, isTrusted: trusted != nil))\n"
                        : problems.map { TerminalText.line($0) + "\n" }.joined())
                if trusted == nil { for line in unlisted { Terminal.note(line) } }
            }
            if names.isEmpty { Terminal.note("No model is installed in \(registry.directory).") }
            if !isIntact { throw ExitCode(1) }
        }

        private static func signature(_ manifest: ModelManifest, isTrusted: Bool) -> String {
            guard manifest.signature != nil else { return "" }
            return isTrusted ? ", signature right" : ", signed (by a key that was not checked; name it with --key)"
        }
    }

    struct Sign: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Signs the manifest of a model with an Ed25519 key, after hashing its files.")

        @Argument(help: "Installed model, or a folder with a \(ModelManifest.fileName).")
        var model: String

        @Option(help: "Private key, a PEM file.", completion: .file())
        var key: String

        func run() throws {
            let signer = try PEMFile.signingKey(key)
            let folder = try ModelLocation.folder(model)
            var manifest = try ModelManifest.load(path: folder + "/" + ModelManifest.fileName)
            // An older signature is about to go; what is signed must be true.
            manifest.signature = nil
            let problems = manifest.fileProblems(in: folder)
            guard problems.isEmpty else {
                throw CommandError(.invalidArgument, "not signed: " + problems.joined(separator: "; "))
            }
            try manifest.sign(with: signer)
            try manifest.write(folder: folder)
            Terminal.note("signed \(manifest.reference) with key \(signer.publicKey.fingerprint)")
        }
    }

    struct KeyGenerate: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "keygen", abstract: "Makes an Ed25519 key pair for signing manifests.")

        @Option(help: "File of the private key; the public one gets .pub after its name.", completion: .file())
        var output: String

        func run() throws {
            let key = SigningKey()
            try PEMFile.write(key.pem, to: output, mode: 0o600)
            try PEMFile.write(key.publicKey.pem, to: output + ".pub", mode: 0o644)
            Terminal.note("wrote \(output) and \(output).pub, key \(key.publicKey.fingerprint)")
        }
    }
}

/// Small files that hold keys.
enum PEMFile {
    /// - Throws: ``CommandError``, naming the file.
    static func verifyingKey(_ path: String) throws -> VerifyingKey { try key(path) { try VerifyingKey(pem: $0) } }

    /// - Throws: ``CommandError``, naming the file.
    static func signingKey(_ path: String) throws -> SigningKey { try key(path) { try SigningKey(pem: $0) } }

    private static func key<Key>(_ path: String, _ parse: (String) throws -> Key) throws -> Key {
        let text = try read(path)
        do {
            return try parse(text)
        } catch {
            let hint =
                text.contains("PRIVATE KEY") != text.contains("PUBLIC KEY")
                ? "; it holds a \(text.contains("PRIVATE KEY") ? "private" : "public") key" : ""
            throw CommandError(.invalidArgument, "\(path): \(ErrorText.describe(error))\(hint)", cause: error)
        }
    }

    static func read(_ path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw CommandError(
                .fileUnavailable,
                "the key \(path) cannot be read: "
                    + (FileManager.default.fileExists(atPath: path) ? "permission denied or no file" : "no such file"))
        }
        guard data.count <= 16_384 else {
            throw CommandError(.invalidArgument, "\(path) is no key: it has \(data.count) bytes")
        }
        return String(decoding: data, as: UTF8.self)
    }

    /// Never replaces a file: a lost key cannot be made again.
    static func write(_ text: String, to path: String, mode: mode_t) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else {
            throw errno == EEXIST
                ? CommandError(.invalidArgument, "\(path) is there already and is not replaced; choose another name")
                : CommandError.system("cannot create \(path)")
        }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        // A few dozen bytes: one call takes them all, or the disk is full.
        guard put(bytes, on: descriptor) == bytes.count, fsync(descriptor) == 0 else {
            let failure = CommandError.system("cannot write \(path)")
            unlink(path)
            throw failure
        }
    }

    private static func put(_ bytes: [UInt8], on descriptor: Int32) -> Int {
        #if canImport(Glibc)
        Glibc.write(descriptor, bytes, bytes.count)
        #elseif canImport(Musl)
        Musl.write(descriptor, bytes, bytes.count)
        #else
        Darwin.write(descriptor, bytes, bytes.count)
        #endif
    }
}
