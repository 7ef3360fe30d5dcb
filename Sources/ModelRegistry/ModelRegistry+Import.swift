import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A model that is on this machine already, to be brought into the registry.
package struct ModelImport: Sendable {
    /// A folder, or one model file; of a split GGUF model any part.
    package var path: String
    package var reference: ModelReference
    package var kind: ModelKind
    /// Copy the bytes also where a hard link would do.
    package var copies: Bool
    /// Take the place of a model of the same name and version.
    package var replaces: Bool
    /// Follow links wherever they lead; else only inside the folder or its hub cache, see ``ModelLinks``.
    package var followsLinks: Bool
    /// The manifest of the model that this is another name of; says where the files came from.
    package var origin: ModelManifest?

    package init(
        path: String, reference: ModelReference, kind: ModelKind, copies: Bool = false, replaces: Bool = false,
        followsLinks: Bool = false, origin: ModelManifest? = nil
    ) {
        self.path = path
        self.reference = reference
        self.kind = kind
        self.copies = copies
        self.replaces = replaces
        self.followsLinks = followsLinks
        self.origin = origin
    }
}

extension ModelRegistry {
    /// Brings files into the registry, hashes them and writes a manifest. The source is only read (or linked to).
    ///
    /// - Throws: ``ModelRegistryError`` `invalidArgument`, `fileUnavailable`, `busy`.
    package func importModel(_ request: ModelImport) throws -> ModelManifest {
        guard try request.reference.version != nil || aliases()[request.reference.name] == nil else {
            throw ModelRegistryError(
                code: .invalidArgument,
                message: "\(request.reference.name) is an alias; choose another name, or remove the alias")
        }
        let files = try Self.files(at: request.path, followsLinks: request.followsLinks)
        return try withLock {
            let folder = directory + "/" + request.reference.folder
            guard request.replaces || !FileManager.default.fileExists(atPath: folder) else {
                throw ModelRegistryError(
                    code: .invalidArgument,
                    message: "\(request.reference) is installed; --replace puts this in its place")
            }
            let staging = "\(directory)/.partial/import-\(request.reference.folder)"
            try? FileManager.default.removeItem(atPath: staging)
            try DurableFiles.makeDirectory(staging)
            defer { try? FileManager.default.removeItem(atPath: staging) }
            let entries = try files.map { file in
                try Self.place(file.source, at: staging + "/" + file.path, copies: request.copies)
                return try ModelManifest.File.describing(staging + "/" + file.path, as: file.path)
            }
            let manifest = ModelManifest(
                name: request.reference.name, kind: request.kind,
                source: request.origin?.source ?? "file:" + URL(fileURLWithPath: request.path).lastPathComponent,
                files: entries, modelVersion: request.reference.version,
                furtherSources: request.origin?.furtherSources)
            try manifest.validate(path: request.path)
            try DurableFiles.write(manifest.encoded(), path: staging + "/" + ModelManifest.fileName)
            try Self.swap(staging, into: folder)
            return manifest
        }
    }

    /// Takes a model out of the registry, with the aliases that stand for it; returns these.
    ///
    /// - Throws: ``ModelRegistryError`` `modelNotFound`.
    package func remove(_ text: String) throws -> [String] {
        let reference = try resolve(text)
        let folder = directory + "/" + reference.folder
        guard FileManager.default.fileExists(atPath: folder) else {
            throw ModelRegistryError(code: .modelNotFound, message: "model \(text) is not installed in \(directory)")
        }
        return try withLock {
            let all = try aliases()
            let dangling = try all.keys.filter { try resolve($0) == reference }.sorted()
            let trash = "\(directory)/.partial/removed-\(reference.folder)"
            try DurableFiles.makeDirectory(directory + "/.partial")
            try? FileManager.default.removeItem(atPath: trash)
            try DurableFiles.move(folder, to: trash)
            try? FileManager.default.removeItem(atPath: trash)
            // Another version may have taken the place of the one that is gone.
            let dead = try dangling.filter { alias in
                let target = try resolve(alias)
                return !FileManager.default.fileExists(atPath: directory + "/" + target.folder)
            }
            if !dead.isEmpty { try writeAliases(all.filter { !dead.contains($0.key) }) }
            return dead
        }
    }

    /// Runs `body` while no other process changes this registry; the kernel drops the lock when we end, however that
    /// happens.
    func withLock<Result>(_ body: () throws -> Result) throws -> Result {
        try DurableFiles.makeDirectory(directory)
        let lock = try lock()
        defer { close(lock) }
        return try body()
    }

    func lock() throws -> Int32 {
        let path = directory + "/.lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemError.last("cannot create \(path)") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw ModelRegistryError(
                code: .busy, message: "another command is changing \(directory); try again when it is done")
        }
        return descriptor
    }

    // MARK: - Files

    /// The files of a folder, or the file and the other parts of its model; links are resolved, so that the registry does
    /// not depend on them, and paths are as they will be in the registry.
    private static func files(at path: String, followsLinks: Bool) throws -> [(source: String, path: String)] {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw ModelRegistryError(code: .fileUnavailable, message: "\(path): no such file or folder")
        }
        let found =
            isFolder.boolValue
            ? try folderFiles(path, ModelLinks(folder: path, followsAll: followsLinks))
            : try resolvedParts(of: path, followsLinks: followsLinks)
        guard (1...ModelManifest.maximumFileCount).contains(found.count) else {
            throw ModelRegistryError(
                code: .invalidArgument,
                message: "\(path): \(found.count) files, expected 1...\(ModelManifest.maximumFileCount)")
        }
        return found.sorted { $0.path < $1.path }
    }

    private static func folderFiles(_ folder: String, _ links: ModelLinks) throws -> [(source: String, path: String)] {
        guard let enumerator = FileManager.default.enumerator(atPath: folder) else {
            throw ModelRegistryError(code: .fileUnavailable, message: "\(folder): cannot be listed")
        }
        var files: [(source: String, path: String)] = []
        while let relative = enumerator.nextObject() as? String {
            let parts = relative.split(separator: "/")
            // Hidden files, and a manifest of another registry, are not the model's.
            if parts.contains(where: { $0.hasPrefix(".") }) || relative == ModelManifest.fileName { continue }
            guard let source = try links.file(folder + "/" + relative) else { continue }
            guard RelativePath.isSafe(relative), files.count <= ModelManifest.maximumFileCount else {
                throw ModelRegistryError(code: .invalidArgument, message: "\(folder): \(relative) cannot be imported")
            }
            files.append((source, relative))
        }
        return files
    }

    /// A file that was named is taken wherever its name leads; the parts that only its name implies are held to the rule
    /// for links. What `quantize` wrote about the file beside it comes along.
    private static func resolvedParts(
        of path: String, followsLinks: Bool
    ) throws -> [(source: String, path: String)] {
        let links = try ModelLinks(
            folder: URL(fileURLWithPath: path).deletingLastPathComponent().path, followsAll: followsLinks)
        let named = URL(fileURLWithPath: path).standardizedFileURL.path
        var files = try partFiles(path).map { part in
            let isNamed = URL(fileURLWithPath: part.source).standardizedFileURL.path == named
            guard !isNamed else {
                return (URL(fileURLWithPath: path).resolvingSymlinksInPath().path, part.path)
            }
            guard access(part.source, F_OK) == 0, let file = try links.file(part.source) else {
                throw ModelRegistryError(
                    code: .fileUnavailable, message: "\(part.source), a part of the model, is missing")
            }
            return (file, part.path)
        }
        let report = QuantizationRecord.path(beside: path)
        if access(report, F_OK) == 0, let file = try links.file(report) {
            files.append((file, QuantizationRecord.fileName))
        }
        return files
    }

    private static func partFiles(_ path: String) -> [(source: String, path: String)] {
        let url = URL(fileURLWithPath: path)
        let name = url.lastPathComponent
        // NAME-00001-of-00003.gguf
        let tail = Array(name.dropLast(5).suffix(15))
        guard name.hasSuffix(".gguf"), tail.count == 15, String(tail[6..<10]) == "-of-",
            let count = Int(String(tail[10...])), (2...ModelManifest.maximumFileCount).contains(count)
        else {
            // Alone, a model has one name, whatever it was called.
            let isModel = name.hasSuffix(".gguf")
            return [(path, isModel ? "model.gguf" : name)]
        }
        let prefix = String(name.dropLast(20))
        return (1...count).map { number in
            let digits = String(number)
            let part =
                "\(prefix)-\(String(repeating: "0", count: 5 - digits.count))\(digits)-of-\(String(tail[10...])).gguf"
            return (url.deletingLastPathComponent().appendingPathComponent(part).path, part)
        }
    }

    /// A hard link where the file systems allow one, else a copy.
    private static func place(_ source: String, at target: String, copies: Bool) throws {
        try DurableFiles.makeDirectory(URL(fileURLWithPath: target).deletingLastPathComponent().path)
        if !copies, link(source, target) == 0 { return }
        try DurableFiles.copy(source, to: target)
    }

    /// Gives a finished folder its name; what was there is put aside first, so that it is never half replaced.
    private static func swap(_ staging: String, into folder: String) throws {
        let old = staging + ".old"
        try? FileManager.default.removeItem(atPath: old)
        if FileManager.default.fileExists(atPath: folder) { try DurableFiles.move(folder, to: old) }
        try DurableFiles.move(staging, to: folder)
        try? FileManager.default.removeItem(atPath: old)
    }
}
