import Foundation
import ModelRegistry

/// A model that a command is asked about: a path, or the name of an installed one.
enum ModelLocation {
    /// The GGUF file or safetensors folder.
    ///
    /// - Throws: `ModelRegistryError` `modelNotFound`, `invalidArgument` for a folder that holds no model, or several.
    static func path(_ text: String, registry: ModelRegistry = .standard()) throws -> String {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: text, isDirectory: &isFolder) {
            return isFolder.boolValue ? try ModelRegistry.model(inFolder: text) : text
        }
        let manifest = try registry.manifest(of: text)
        return manifest.kind == .embedding ? registry.directory(of: text) : try registry.textModel(text).path
    }

    /// The folder with the manifest of a model.
    ///
    /// - Throws: `ModelRegistryError` `modelNotFound`; ``CommandError`` `invalidArgument` for a model without a manifest.
    static func folder(_ text: String, registry: ModelRegistry = .standard()) throws -> String {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: text + "/" + ModelManifest.fileName, isDirectory: &isFolder) {
            return text
        }
        if FileManager.default.fileExists(atPath: text, isDirectory: &isFolder) {
            let folder = isFolder.boolValue ? text : URL(fileURLWithPath: text).deletingLastPathComponent().path
            guard FileManager.default.fileExists(atPath: folder + "/" + ModelManifest.fileName) else {
                throw CommandError(
                    .invalidArgument,
                    "\(text) has no \(ModelManifest.fileName) that says what it should be; "
                        + "`fathom model import \(text)` makes one")
            }
            return folder
        }
        _ = try registry.manifest(of: text)
        return registry.directory(of: text)
    }
}
