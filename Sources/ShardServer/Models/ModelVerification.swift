import Foundation
import InferenceCore
import ModelFiles
import ModelRegistry

/// What the files of a model must prove before they are loaded, on every stage for itself.
package enum ModelVerification: Sendable {
    /// Nothing: `fathom model verify` is for people.
    case off
    /// SHA-256 of every file that the manifest lists, which all files of weights must be among.
    case digest
    /// Besides: the manifest is signed by this key, and the folder holds no file that is not listed, because such a file
    /// may change what the model does.
    case signature(VerifyingKey)

    /// The values of `--verify-models`.
    package enum Level: String, Sendable, CaseIterable {
        case off, digest, signature
    }

    /// Hashes the files of a model that has been opened.
    ///
    /// The bytes of weights are hashed where they are mapped, so that what is loaded is what was hashed, whatever is put
    /// in the file's place meanwhile; small files beside them are hashed where they lie.
    ///
    /// - Parameter source: the opened model; its files lie in one folder, with `fathom-model.json`.
    /// - Throws: `InferenceError` `dataLoss` naming what is wrong, without the folder's path.
    package func check(_ source: any TensorSource) throws(InferenceError) {
        guard let first = source.files.first else { throw Self.problem("it has no files") }
        let folder = URL(fileURLWithPath: first.path).deletingLastPathComponent().path
        switch self {
        case .off: return
        case .digest: try checkFiles(manifest(in: folder), source, folder)
        case .signature(let key):
            let manifest = try manifest(in: folder)
            if let problem = manifest.signatureProblem(trusting: key) { throw Self.problem(problem) }
            try checkFiles(manifest, source, folder)
            if let other = try unlistedFiles(in: folder).first {
                throw Self.problem("the file \(other.printable) is not in its manifest")
            }
        }
    }

    private func manifest(in folder: String) throws(InferenceError) -> ModelManifest {
        let path = folder + "/" + ModelManifest.fileName
        guard FileManager.default.fileExists(atPath: path) else {
            throw Self.problem("it has no \(ModelManifest.fileName)")
        }
        do {
            return try ModelManifest.load(path: path)
        } catch {
            throw Self.problem("its \(ModelManifest.fileName) cannot be used", cause: error)
        }
    }

    private func checkFiles(
        _ manifest: ModelManifest, _ source: any TensorSource, _ folder: String
    ) throws(InferenceError) {
        var mapped: [String: UnsafeRawBufferPointer] = [:]
        for file in source.files { mapped[URL(fileURLWithPath: file.path).lastPathComponent] = file.bytes }
        let listed = Set(manifest.files.map(\.path))
        if let other = mapped.keys.sorted().first(where: { !listed.contains($0) }) {
            throw Self.problem("the file \(other.printable) is not in its manifest")
        }
        for file in manifest.files {
            let found: (size: Int64, sha256: String)
            if let bytes = mapped[file.path] {
                found = FileDigest.of(bytes)
            } else {
                do {
                    found = try FileDigest.of(path: folder + "/" + file.path)
                } catch {
                    throw Self.problem("the file \(file.path.printable) cannot be read", cause: error)
                }
            }
            guard found == (file.size, file.sha256) else {
                throw Self.problem("the file \(file.path.printable) differs from its manifest")
            }
        }
    }

    private func unlistedFiles(in folder: String) throws(InferenceError) -> [String] {
        do {
            return try ModelRegistry.unlistedFiles(folder: folder)
        } catch {
            throw Self.problem("its folder cannot be read", cause: error)
        }
    }

    private static func problem(_ what: String, cause: (any Error)? = nil) -> InferenceError {
        InferenceError(code: .dataLoss, message: "it is not what was verified: \(what)", cause: cause)
    }
}
