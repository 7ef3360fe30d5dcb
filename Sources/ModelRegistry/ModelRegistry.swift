import Foundation
import ModelFiles

/// The folder that holds installed models, one folder each.
///
///     DIRECTORY/<name>/fathom-model.json             which files, which digests
///     DIRECTORY/<name>/...                           the files
///     DIRECTORY/<name>@<version>/...                 one of several versions, `<name>:<version>` for users
///     DIRECTORY/<owner>%2F<name>/...                 a name with a slash, `<owner>/<name>` for users
///     DIRECTORY/aliases.json                         other names: {"chat": "<name>:<version>"}
///     DIRECTORY/.partial/<name>/...                  unfinished downloads, resumed by the next pull
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

    /// Folder of the model that `name` stands for (`NAME`, `NAME:VERSION` or an alias), whether or not it exists.
    package func directory(of name: String) -> String {
        directory + "/" + ((try? resolve(name).folder) ?? name)
    }

    /// Manifests of all installed models, by name. Folders without a manifest are not models.
    ///
    /// - Throws: ``ModelRegistryError`` `manifestMalformed` naming the broken one.
    package func installed() throws -> [ModelManifest] {
        try references().compactMap { reference in
            let path = "\(directory)/\(reference.folder)/\(ModelManifest.fileName)"
            guard FileManager.default.fileExists(atPath: path) else { return nil }
            return try ModelManifest.load(path: path)
        }
    }

    /// The manifest of one installed model.
    ///
    /// - Throws: ``ModelRegistryError`` `modelNotFound`, `manifestMalformed`.
    package func manifest(of name: String) throws -> ModelManifest {
        let path = "\(directory)/\(try resolve(name).folder)/\(ModelManifest.fileName)"
        guard FileManager.default.fileExists(atPath: path) else {
            throw ModelRegistryError.notFound(name, in: directory)
        }
        return try ModelManifest.load(path: path)
    }

    /// The GGUF file or safetensors folder of a text model given by name, alias or path, and the name to serve it under.
    ///
    /// - Throws: ``ModelRegistryError`` `modelNotFound`.
    package func textModel(_ nameOrPath: String) throws -> (name: String, path: String) {
        if DurableFiles.size(path: nameOrPath) != nil {
            let stem = URL(fileURLWithPath: nameOrPath).deletingPathExtension().lastPathComponent
            let parent = URL(fileURLWithPath: nameOrPath).deletingLastPathComponent().lastPathComponent
            return (stem == "model" && ModelName.isValid(parent) ? parent : stem, nameOrPath)
        }
        var isFolder: ObjCBool = false
        if nameOrPath.contains("/"), FileManager.default.fileExists(atPath: nameOrPath, isDirectory: &isFolder),
            isFolder.boolValue
        {
            let path = try Self.model(inFolder: nameOrPath)
            return (URL(fileURLWithPath: nameOrPath).standardizedFileURL.lastPathComponent, path)
        }
        let folder = "\(directory)/\(try resolve(nameOrPath).folder)"
        // Files put there by hand, without a manifest, serve as well.
        let listed = (try? ModelManifest.load(path: folder + "/" + ModelManifest.fileName))?.files.map(\.path) ?? []
        let file = folder + "/" + (listed.sorted().first { $0.hasSuffix(".gguf") } ?? "model.gguf")
        if DurableFiles.size(path: file) != nil { return (nameOrPath, file) }
        if SafetensorsCheckpoint.isCheckpoint(folder) { return (nameOrPath, folder) }
        let isThere = FileManager.default.fileExists(atPath: folder)
        throw ModelRegistryError.notFound(nameOrPath, in: directory, missing: isThere ? file : nil)
    }

    /// The model that a folder holds: the folder itself where it is a checkpoint, else its one GGUF file, or the first
    /// part of one.
    ///
    /// - Throws: ``ModelRegistryError`` `invalidArgument` for a folder with none, or with several.
    package static func model(inFolder folder: String) throws -> String {
        if DurableFiles.size(path: folder + "/config.json") != nil { return folder }
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
            .filter { $0.hasSuffix(".gguf") }
        let firsts = names.filter { $0.contains("-00001-of-") }
        if names.count == 1 || firsts.count == 1 && names.allSatisfy({ $0.contains("-of-") }) {
            return "\(folder)/\(firsts.first ?? names[0])"
        }
        throw ModelRegistryError(
            code: .invalidArgument,
            message: names.isEmpty
                ? "\(folder) holds no model: neither config.json with safetensors nor a GGUF file"
                : "\(folder) holds several models; name one of \(names.prefix(10).joined(separator: ", "))")
    }

    /// The folder of the encoder called `name`, checked to hold what the store needs.
    ///
    /// - Throws: ``ModelRegistryError`` `modelNotFound`.
    package func encoder(_ name: String) throws -> String {
        let isPath = name.contains("/") && FileManager.default.fileExists(atPath: name)
        let folder = isPath ? name : directory(of: name)
        for file in ["model.safetensors", "vocab.txt"] where DurableFiles.size(path: folder + "/" + file) == nil {
            guard FileManager.default.fileExists(atPath: folder) else {
                throw ModelRegistryError.notFound(name, in: directory)
            }
            throw ModelRegistryError(
                code: .modelNotFound,
                message: "\(name) is no encoder that the store can use: \(folder)/\(file) is missing")
        }
        return folder
    }

    /// Hashes every file of an installed model again.
    ///
    /// - Parameter key: The key that must have signed the manifest; nil for any or none.
    /// - Throws: ``ModelRegistryError`` `modelNotFound`, `manifestMalformed`. A wrong file is a result, not an error.
    package func verify(_ name: String, trusting key: VerifyingKey? = nil) throws -> Verification {
        let reference = try resolve(name)
        var result = try Self.verify(
            folder: directory + "/" + reference.folder, manifest: manifest(of: name), trusting: key)
        result.name = name
        return result
    }

    /// Hashes the files of any folder with a manifest.
    ///
    /// - Throws: ``ModelRegistryError`` `fileUnavailable`, `manifestMalformed`.
    package static func verify(folder: String, trusting key: VerifyingKey? = nil) throws -> Verification {
        try verify(
            folder: folder, manifest: ModelManifest.load(path: folder + "/" + ModelManifest.fileName), trusting: key)
    }

    private static func verify(
        folder: String, manifest: ModelManifest, trusting key: VerifyingKey?
    ) throws -> Verification {
        let signature = manifest.signatureProblem(trusting: key).map { "\(folder)/\(ModelManifest.fileName): \($0)" }
        return Verification(
            name: manifest.name,
            problems: [signature].compactMap { $0 } + manifest.files.compactMap { problem(with: $0, in: folder) })
    }

    /// Files of a model's folder that its manifest does not list.
    package static func unlistedFiles(folder: String) throws -> [String] {
        let manifest = try ModelManifest.load(path: folder + "/" + ModelManifest.fileName)
        let listed = Set(manifest.files.map(\.path) + [ModelManifest.fileName])
        let all = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        return all.filter { !listed.contains($0) && DurableFiles.size(path: folder + "/" + $0) != nil }.sorted()
    }

    /// What is wrong with one file, or nil. A wrong model file is told to its tensors.
    static func problem(with file: ModelManifest.File, in folder: String) -> String? {
        let path = folder + "/" + file.path
        guard let size = DurableFiles.size(path: path) else { return "\(path): missing" }
        guard size == file.size else { return "\(path): \(size) bytes, expected \(file.size)" }
        do {
            let digest = try FileDigest.of(path: path).sha256
            let tensors = file.tensors.flatMap {
                TensorDigests.differences(path: path, format: file.path, expected: $0)
            }
            if digest == file.sha256 {
                // Digests of tensors that the file's own digest contradicts were written by somebody else.
                return tensors.flatMap { names in
                    names.isEmpty ? nil : "\(path): \(Self.list(names)), while the file is as expected"
                }
            }
            let place =
                tensors.map { $0.isEmpty ? "; the tensors are right, its header is not" : "; \(Self.list($0))" } ?? ""
            return "\(path): SHA-256 \(digest), expected \(file.sha256)\(place)"
        } catch {
            return "\(path): \(error)"
        }
    }

    private static func list(_ tensors: [String]) -> String {
        let shown = tensors.prefix(20).joined(separator: ", ")
        let more = tensors.count > 20 ? " and \(tensors.count - 20) more" : ""
        return "\(tensors.count == 1 ? "tensor" : "tensors") changed: \(shown)\(more)"
    }
}

extension ModelRegistry {
    /// What speaks against serving the model at `path`, a GGUF file or a folder: nothing to hold it against, files that
    /// differ from `fathom-model.json` or are not in it, and with a key a signature that is missing or another's.
    ///
    /// Reads every byte of the model. Empty: all is right.
    package static func servingProblems(modelAt path: String, trusting key: VerifyingKey?) throws -> [String] {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return ["\(path): missing"] }
        let url = URL(fileURLWithPath: path).standardizedFileURL
        let folder = isFolder.boolValue ? url.path : url.deletingLastPathComponent().path
        guard FileManager.default.fileExists(atPath: folder + "/" + ModelManifest.fileName) else {
            return [
                "\(path): there is no \(ModelManifest.fileName) beside it to hold it against; "
                    + "`fathom model import` makes one"
            ]
        }
        let manifest = try ModelManifest.load(path: folder + "/" + ModelManifest.fileName)
        var problems = try verify(folder: folder, trusting: key).problems
        // A file that nobody signed may change what the model does: a chat template, a tokeniser's settings. Without a
        // signature in question it is the weights that are held to the manifest, as shards hold them.
        let weights =
            isFolder.boolValue
            ? try unlistedFiles(folder: folder).filter { $0.hasSuffix(".safetensors") && !$0.contains("/") }
            : manifest.files.contains { $0.path == url.lastPathComponent } ? [] : [url.lastPathComponent]
        problems += (key == nil ? weights : try unlistedFiles(folder: folder)).map {
            "\(folder)/\($0): not in the manifest"
        }
        return problems
    }
}
