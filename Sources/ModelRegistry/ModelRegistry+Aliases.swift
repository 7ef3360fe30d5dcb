import Foundation

/// What a user types for an installed model: `NAME`, `NAME:VERSION`, or an alias of either.
package struct ModelReference: Sendable, Equatable, CustomStringConvertible {
    package let name: String
    package let version: String?

    /// nil unless name and version are valid.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard ModelName.isValid(parts[0]), parts.dropFirst().allSatisfy(ModelName.isValidPart) else { return nil }
        name = parts[0]
        version = parts.count == 2 ? parts[1] : nil
    }

    package init(name: String, version: String?) {
        self.name = name
        self.version = version
    }

    package var description: String { version.map { "\(name):\($0)" } ?? name }

    /// The folder below the registry's: one level, so that a name with a slash is not two folders. No name has a `%`.
    var folder: String {
        let name = name.replacingOccurrences(of: "/", with: Self.slash)
        return version.map { "\(name)@\($0)" } ?? name
    }

    private static let slash = "%2F"

    /// From a folder's name; nil for other folders.
    init?(folder: String) {
        let text = folder.replacingOccurrences(of: "@", with: ":")
            .replacingOccurrences(of: Self.slash, with: "/")
        guard !folder.contains(":"), let reference = ModelReference(text) else { return nil }
        self = reference
    }
}

extension ModelRegistry {
    private var aliasPath: String { directory + "/aliases.json" }

    /// All aliases and what they stand for.
    ///
    /// - Throws: ``ModelRegistryError`` `manifestMalformed`.
    package func aliases() throws -> [String: String] {
        guard let size = DurableFiles.size(path: aliasPath) else { return [:] }
        guard size < 1 << 20, let data = FileManager.default.contents(atPath: aliasPath),
            let aliases = try? JSONDecoder().decode([String: String].self, from: data),
            aliases.allSatisfy({ ModelName.isValid($0.key) && ModelReference($0.value) != nil })
        else {
            throw ModelRegistryError(
                code: .manifestMalformed, message: "\(aliasPath): expected an object from names to models")
        }
        return aliases
    }

    /// Makes `alias` stand for `target`, which must be installed or an alias itself.
    ///
    /// - Throws: ``ModelRegistryError`` `invalidArgument`, `modelNotFound`.
    package func setAlias(_ alias: String, to target: String) throws {
        guard ModelName.isValid(alias) else {
            throw ModelRegistryError(code: .invalidArgument, message: "\"\(alias)\" is not a name; \(ModelName.rule)")
        }
        guard
            !FileManager.default.fileExists(atPath: "\(directory)/\(ModelReference(name: alias, version: nil).folder)")
        else {
            throw ModelRegistryError(code: .invalidArgument, message: "\(alias) is the name of an installed model")
        }
        _ = try manifest(of: target)
        try withLock {
            var aliases = try aliases()
            aliases[alias] = target
            try checkEnds(alias, aliases)
            try writeAliases(aliases)
        }
    }

    /// - Throws: ``ModelRegistryError`` `modelNotFound`.
    package func removeAlias(_ alias: String) throws {
        try withLock {
            var aliases = try aliases()
            guard aliases.removeValue(forKey: alias) != nil else {
                throw ModelRegistryError(code: .modelNotFound, message: "there is no alias \(alias)")
            }
            try writeAliases(aliases)
        }
    }

    func writeAliases(_ aliases: [String: String]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try DurableFiles.write(try encoder.encode(aliases) + Data("\n".utf8), path: aliasPath + ".new")
        try DurableFiles.move(aliasPath + ".new", to: aliasPath)
    }

    /// The installed model that `text` stands for: aliases followed, and without a version the folder of that name or the
    /// newest version.
    ///
    /// - Throws: ``ModelRegistryError`` `modelNotFound` for what cannot be a reference; `manifestMalformed` for aliases
    ///   that go round in a circle. Whether the model is there is for the caller to see.
    package func resolve(_ text: String) throws -> ModelReference {
        let aliases = try aliases()
        try checkEnds(text, aliases)
        var text = text
        while let target = aliases[text] { text = target }
        guard let reference = ModelReference(text) else { throw ModelRegistryError.notFound(text, in: directory) }
        guard reference.version == nil, !FileManager.default.fileExists(atPath: "\(directory)/\(reference.folder)")
        else { return reference }
        let versions = references().filter { $0.name == reference.name }.compactMap(\.version)
        let newest = versions.max { $0.compare($1, options: .numeric) == .orderedAscending }
        return ModelReference(name: reference.name, version: newest)
    }

    private func checkEnds(_ alias: String, _ aliases: [String: String]) throws {
        var seen: Set<String> = []
        var text = alias
        while let target = aliases[text] {
            guard seen.insert(text).inserted else {
                throw ModelRegistryError(code: .manifestMalformed, message: "alias \(alias) leads back to itself")
            }
            text = target
        }
    }

    /// All folders that have a model's name, sorted.
    func references() -> [ModelReference] {
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return folders.compactMap { ModelReference(folder: $0) }
            .sorted { ($0.name, $0.version ?? "") < ($1.name, $1.version ?? "") }
    }
}
