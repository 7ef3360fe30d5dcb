import Foundation
import ModelRegistry

/// A model that a command is asked about: a path, or the name of an installed one.
enum ModelLocation {
    /// The GGUF file or safetensors folder.
    ///
    /// - Throws: `ModelRegistryError` `modelNotFound`.
    static func path(_ text: String, registry: ModelRegistry = .standard()) throws -> String {
        if FileManager.default.fileExists(atPath: text) { return text }
        let manifest = try registry.manifest(of: text)
        return manifest.kind == .embedding ? registry.directory(of: text) : try registry.textModel(text).path
    }

    /// The folder with the manifest of a model.
    static func folder(_ text: String, registry: ModelRegistry = .standard()) throws -> String {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: text + "/" + ModelManifest.fileName, isDirectory: &isFolder) {
            return text
        }
        _ = try registry.manifest(of: text)
        return registry.directory(of: text)
    }
}
