import Foundation
import ModelFiles

/// What a model brings along besides its numbers: the terms it may be used under, and its chat template.
package struct ModelPapers: Sendable, Equatable {
    /// As the model itself says it, such as "apache-2.0"; nil when it says nothing.
    package var license: String?
    package var chatTemplate: String?

    /// Longest file that is read, in bytes.
    private static let maximumByteCount = 4 << 20
    /// Characters of a licence's name that are kept.
    private static let nameLength = 200

    /// Looks into the GGUF file's metadata, or the checkpoint's files, and for the licence into README.md and LICENSE of
    /// the folder.
    ///
    /// - Throws: `ModelFileError` for a model that cannot be read.
    package init(path: String) throws {
        let isFolder = SafetensorsCheckpoint.isCheckpoint(path)
        let folder = isFolder ? path : URL(fileURLWithPath: path).deletingLastPathComponent().path
        if isFolder {
            chatTemplate = Self.template(inFolder: folder)
        } else {
            let metadata = try GGUFFile(path: path).metadata
            chatTemplate = try metadata.stringIfPresent("tokenizer.chat_template")
            license = try ["general.license", "general.license.name", "general.license.link"]
                .lazy.compactMap { try metadata.stringIfPresent($0) }.first { !$0.isEmpty }
        }
        license = (license ?? Self.license(inFolder: folder))?.prefix(Self.nameLength).printable
    }

    private static func text(_ path: String) -> String? {
        guard let file = FileHandle(forReadingAtPath: path) else { return nil }
        defer { try? file.close() }
        guard let data = try? file.read(upToCount: maximumByteCount + 1), data.count <= maximumByteCount else {
            return nil
        }
        return String(decoding: data, as: UTF8.self)
    }

    private static func template(inFolder folder: String) -> String? {
        if let text = text(folder + "/chat_template.jinja") { return text }
        guard let text = text(folder + "/tokenizer_config.json"),
            let object = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        else { return nil }
        if let template = object["chat_template"] as? String { return template }
        // Several, each with a name; chats without tools use the default one.
        let named = object["chat_template"] as? [[String: Any]] ?? []
        return (named.first { $0["name"] as? String == "default" } ?? named.first)?["template"] as? String
    }

    /// The front matter of a model's page on a hub, else the first line of its licence.
    private static func license(inFolder folder: String) -> String? {
        if let text = text(folder + "/README.md"), text.hasPrefix("---") {
            let matter = text.split(separator: "\n", omittingEmptySubsequences: false).dropFirst().prefix {
                $0 != "---"
            }
            func value(_ key: String) -> String? {
                guard let line = matter.first(where: { $0.hasPrefix(key + ":") }) else { return nil }
                let value = line.dropFirst(key.count + 1).trimmingCharacters(in: CharacterSet(charactersIn: " \t\r\"'"))
                return value.isEmpty ? nil : value
            }
            // "other" has its name beside it.
            if let name = value("license") { return name == "other" ? value("license_name") ?? name : name }
        }
        return ["LICENSE", "LICENSE.txt", "LICENSE.md"].lazy.compactMap { text("\(folder)/\($0)") }.first.flatMap {
            text in
            text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }.first {
                !$0.isEmpty
            }
        }
    }
}
