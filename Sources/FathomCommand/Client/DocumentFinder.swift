import Foundation

/// A file that `fathom ingest` takes.
package struct FoundDocument: Sendable, Equatable {
    package var path: String
    /// For people: the path below the folder, or the file's own name.
    package var name: String
    /// What the vector store knows the document by.
    package var id: String
}

/// Something below the given paths that is not ingested, and why.
package struct SetAside: Sendable, Equatable {
    package var name: String
    package var reason: String
}

/// What lies below the paths that `fathom ingest` was given.
package struct DocumentListing: Sendable, Equatable {
    package var documents: [FoundDocument] = []
    /// Not of a kind that is ingested.
    package var skipped: [SetAside] = []
    /// Should have been ingested and cannot be.
    package var failures: [SetAside] = []
    /// Ids of what is there, also of what cannot be ingested.
    var presentIDs: Set<String> = []
    /// Prefixes of ids below which everything was listed: what is not among the documents is not there.
    var listedPrefixes: [String] = []
    /// Prefixes of ids below which something may not have been seen.
    var unlistedPrefixes: [String] = []

    /// True when a document of this id was looked for and is not there.
    package func isGone(_ id: String) -> Bool {
        // An absolute path lies below no folder that is known by a relative one.
        let isListed = listedPrefixes.contains { id.hasPrefix($0) && ($0.hasPrefix("/") || !id.hasPrefix("/")) }
        return isListed && !unlistedPrefixes.contains(where: id.hasPrefix) && !presentIDs.contains(id)
    }
}

/// Finds the documents that `fathom ingest` takes. What cannot be taken is listed with its reason; nothing ends the
/// search.
package struct DocumentFinder {
    /// Extensions that the store understands, without the dot.
    static let extensions: Set<String> = ["txt", "text", "md", "markdown", "html", "htm"]
    /// Most files and folders looked at in one ingest.
    static let maximumEntries = 1_000_000
    /// Most documents of one ingest.
    static let maximumDocuments = 100_000

    /// Documents are known by their path below this folder; nil: by their absolute path.
    private let root: String?
    private var listing = DocumentListing()
    private var entries = 0

    /// Files below `paths`: a file as it is, a folder with all documents in it, in order of their paths. Hidden files
    /// and folders are left out, links to folders are not followed.
    ///
    /// - Parameter root: Folder below which paths identify documents; nil: absolute paths do.
    /// - Throws: ``CommandError`` `invalidArgument` when there are too many, or `root` is no folder.
    package static func find(_ paths: [String], root: String? = nil) throws -> DocumentListing {
        var finder = DocumentFinder(root: try root.map(Self.canonicalRoot))
        for path in paths { try finder.add(path) }
        return finder.listing
    }

    private init(root: String?) {
        self.root = root
    }

    private static func canonicalRoot(_ path: String) throws -> String {
        guard let canonical = canonical(path), Entry(canonical)?.kind == .folder else {
            throw CommandError(.invalidArgument, "\(path): no such folder")
        }
        return canonical
    }

    // MARK: What was given

    private mutating func add(_ path: String) throws {
        guard let entry = Entry(path) else {
            return fail(path, path, Entry.isLink(path) ? "a link to something that is not there" : Self.systemReason())
        }
        // The folder's links are resolved, the file's own are not: a document is where it is named.
        let url = URL(fileURLWithPath: path).standardizedFileURL
        let canonical =
            entry.kind == .folder
            ? Self.canonical(path)
            : Self.canonical(url.deletingLastPathComponent().path).map {
                "\($0 == "/" ? "" : $0)/\(url.lastPathComponent)"
            }
        guard let canonical, let id = identifier(canonical) else {
            return fail(path, path, "it does not lie below the folder of --root")
        }
        switch entry.kind {
        case .folder:
            listing.listedPrefixes.append(id.isEmpty || id == "/" ? id : id + "/")
            let start = listing.documents.count
            try walk(canonical)
            listing.documents[start...].sort { $0.name < $1.name }
        case .file where !Self.isDocument(url.lastPathComponent):
            fail(path, canonical, Self.unsupportedReason(url.lastPathComponent))
        case .file:
            try take(FoundDocument(path: path, name: url.lastPathComponent, id: id))
        case .other:
            fail(path, canonical, "neither a file nor a folder")
        }
    }

    // MARK: Folders

    private mutating func walk(_ folder: String) throws {
        // Depth first, without recursion: folders can be as deep as paths are long.
        var waiting = [""]
        while let below = waiting.popLast() {
            let path = below.isEmpty ? folder : folder + "/" + below
            let names: [String]
            do {
                names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
            } catch {
                fail(below.isEmpty ? folder : below, path, "the folder cannot be read")
                listing.unlistedPrefixes.append((identifier(path) ?? path) + "/")
                continue
            }
            var folders: [String] = []
            for name in names where !name.hasPrefix(".") {
                entries += 1
                guard entries <= Self.maximumEntries else {
                    throw CommandError(
                        .invalidArgument, "more than \(Self.maximumEntries) files and folders; ingest them in parts")
                }
                let relative = below.isEmpty ? name : below + "/" + name
                if try look(at: folder + "/" + relative, name, relative) { folders.append(relative) }
            }
            waiting += folders.reversed()
        }
    }

    /// Sorts one entry of a folder in.
    ///
    /// - Returns: True for a folder that is to be walked.
    private mutating func look(at path: String, _ name: String, _ relative: String) throws -> Bool {
        let isLink = Entry.isLink(path)
        guard let entry = Entry(path) else {
            let reason = isLink ? "a link to something that is not there" : Self.systemReason()
            if Self.isDocument(name) {
                fail(relative, path, reason)
            } else {
                listing.skipped.append(SetAside(name: relative, reason: reason))
            }
            return false
        }
        switch entry.kind {
        case .folder where isLink:
            listing.skipped.append(SetAside(name: relative, reason: "a link to a folder, not followed"))
        case .folder:
            return true
        case .file where Self.isDocument(name):
            if let id = identifier(path) { try take(FoundDocument(path: path, name: relative, id: id)) }
        case .file:
            listing.skipped.append(SetAside(name: relative, reason: Self.unsupportedReason(name)))
        case .other:
            listing.skipped.append(SetAside(name: relative, reason: "neither a file nor a folder"))
        }
        return false
    }

    // MARK: Results

    private mutating func take(_ document: FoundDocument) throws {
        guard listing.presentIDs.insert(document.id).inserted else { return }
        guard listing.documents.count < Self.maximumDocuments else {
            throw CommandError(
                .invalidArgument, "more than \(Self.maximumDocuments) documents; ingest them in parts")
        }
        listing.documents.append(document)
    }

    private mutating func fail(_ name: String, _ path: String, _ reason: String) {
        listing.failures.append(SetAside(name: name, reason: reason))
        if let id = identifier(path) { listing.presentIDs.insert(id) }
    }

    /// The id of the document at an absolute path; nil when it does not lie below the root.
    private func identifier(_ path: String) -> String? {
        guard let root else { return path }
        if path == root { return "" }
        let prefix = root == "/" ? "/" : root + "/"
        return path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : nil
    }

    private static func isDocument(_ name: String) -> Bool {
        extensions.contains(URL(fileURLWithPath: name).pathExtension.lowercased())
    }

    private static func unsupportedReason(_ name: String) -> String {
        let kind = URL(fileURLWithPath: name).pathExtension
        return (kind.isEmpty ? "files without an extension are" : ".\(kind) is")
            + " not supported (.\(extensions.sorted().joined(separator: ", .")))"
    }

    /// The absolute path without links and dots.
    private static func canonical(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// The text of `errno`, while that is still the one of the failed call.
    private static func systemReason() -> String {
        let number = errno
        return String(cString: strerror(number))
    }
}

/// What is at a path, links followed.
private struct Entry {
    enum Kind {
        case file, folder, other
    }

    let kind: Kind

    /// Nil, with `errno`, when nothing is there that may be looked at.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        switch status.st_mode & S_IFMT {
        case S_IFREG: kind = .file
        case S_IFDIR: kind = .folder
        default: kind = .other
        }
    }

    static func isLink(_ path: String) -> Bool {
        let number = errno
        defer { errno = number }
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }
}
