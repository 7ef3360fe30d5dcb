import Foundation

/// The folder that holds installed models, one folder each.
///
///     DIRECTORY/<name>/fathom-model.json    which files, which digests
///     DIRECTORY/<name>/...                  the files
///     DIRECTORY/.partial/<name>/...         unfinished downloads, resumed by the next pull
///
/// A value without state of its own: every call looks at the disk.
package struct ModelRegistry: Sendable {
    /// What a re-hash found.
    package struct Verification: Sendable, Equatable {
        package var name: String
        /// One line for each wrong file: its path, what was expected and what is there. Empty: all is right.
        package var problems: [String]
    }

    package let directory: String

    package init(directory: String) {
        self.directory = directory
    }

    /// The registry of this user: `FATHOM_MODELS`, else `~/.fathom/models`.
    package static func standard(environment: [String: String] = ProcessInfo.processInfo.environment) -> ModelRegistry {
        if let directory = environment["FATHOM_MODELS"], !directory.isEmpty {
            return ModelRegistry(directory: directory)
        }
        let home = environment["HOME"] ?? FileManager.default.homeDirectoryForCurrentUser.path
        return ModelRegistry(directory: home + "/.fathom/models")
    }

    /// Folder of the model called `name`, whether or not it exists.
    package func directory(of name: String) -> String { directory + "/" + name }

    /// Manifests of all installed models, by name. Folders without a manifest are not models.
    ///
    /// - Throws: ``ModelRegistryError`` `manifestMalformed` naming the broken one.
    package func installed() throws -> [ModelManifest] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return try names.sorted().filter(ModelName.isValid).compactMap { name in
            let path = directory(of: name) + "/" + ModelManifest.fileName
            guard FileManager.default.fileExists(atPath: path) else { return nil }
            return try ModelManifest.load(path: path)
        }
    }

    /// The manifest of one installed model.
    ///
    /// - Throws: ``ModelRegistryError`` `modelNotFound`, `manifestMalformed`.
    package func manifest(of name: String) throws -> ModelManifest {
        let path = directory(of: name) + "/" + ModelManifest.fileName
        guard ModelName.isValid(name), FileManager.default.fileExists(atPath: path) else {
            throw ModelRegistryError(
                code: .modelNotFound,
                message: "model \(name) is not installed in \(directory); run `fathom model pull \(name)`")
        }
        return try ModelManifest.load(path: path)
    }

    /// The GGUF file of a text model given by name or by path, and the name to serve it under.
    ///
    /// - Throws: ``ModelRegistryError`` `modelNotFound`.
    package func textModel(_ nameOrPath: String) throws -> (name: String, path: String) {
        if DurableFiles.size(path: nameOrPath) != nil {
            let stem = URL(fileURLWithPath: nameOrPath).deletingPathExtension().lastPathComponent
            let parent = URL(fileURLWithPath: nameOrPath).deletingLastPathComponent().lastPathComponent
            return (stem == "model" && ModelName.isValid(parent) ? parent : stem, nameOrPath)
        }
        guard ModelName.isValid(nameOrPath) else {
            throw ModelRegistryError(
                code: .modelNotFound, message: "\(nameOrPath) is neither a file nor the name of a model")
        }
        let folder = directory(of: nameOrPath)
        let file: String
        if let manifest = try? manifest(of: nameOrPath),
            let entry = manifest.files.first(where: { $0.path.hasSuffix(".gguf") })
        {
            file = folder + "/" + entry.path
        } else {
            // Files put there by hand, without a manifest, serve as well.
            file = folder + "/model.gguf"
        }
        guard DurableFiles.size(path: file) != nil else {
            throw ModelRegistryError(
                code: .modelNotFound,
                message:
                    "model \(nameOrPath) is not installed: \(file) is missing; run `fathom model pull \(nameOrPath)`")
        }
        return (nameOrPath, file)
    }

    /// The folder of the encoder called `name`, checked to hold what the store needs.
    ///
    /// - Throws: ``ModelRegistryError`` `modelNotFound`.
    package func encoder(_ name: String) throws -> String {
        let folder = name.contains("/") ? name : directory(of: name)
        for file in ["model.safetensors", "vocab.txt"] where DurableFiles.size(path: folder + "/" + file) == nil {
            throw ModelRegistryError(
                code: .modelNotFound,
                message:
                    "encoder \(name) is not installed: \(folder)/\(file) is missing; run `fathom model pull \(name)`")
        }
        return folder
    }

    /// Hashes every file of an installed model again.
    ///
    /// - Throws: ``ModelRegistryError`` `modelNotFound`, `manifestMalformed`. A wrong file is a result, not an error.
    package func verify(_ name: String) throws -> Verification {
        let manifest = try manifest(of: name)
        let problems = manifest.files.compactMap { Self.problem(with: $0, in: directory(of: name)) }
        return Verification(name: name, problems: problems)
    }

    /// What is wrong with one file, or nil.
    static func problem(with file: ModelManifest.File, in folder: String) -> String? {
        let path = folder + "/" + file.path
        guard let size = DurableFiles.size(path: path) else { return "\(path): missing" }
        guard size == file.size else { return "\(path): \(size) bytes, expected \(file.size)" }
        do {
            let digest = try FileDigest.of(path: path).sha256
            return digest == file.sha256 ? nil : "\(path): SHA-256 \(digest), expected \(file.sha256)"
        } catch {
            return "\(path): \(error)"
        }
    }
}
