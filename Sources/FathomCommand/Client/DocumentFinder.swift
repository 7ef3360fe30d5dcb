import Foundation

/// Finds the documents that `fathom ingest` takes.
package enum DocumentFinder {
    /// Extensions that the store understands, without the dot.
    package static let extensions: Set<String> = ["txt", "text", "md", "markdown", "html", "htm"]
    /// Most files of one ingest.
    package static let maximumFiles = 100_000

    /// Files below `paths`: a file as it is, a folder with all documents in it, in order of their paths. Hidden files
    /// and folders are left out.
    ///
    /// - Returns: The files, each with the name to give it: its path below the folder, or its own name.
    /// - Throws: ``CommandError`` `invalidArgument` for a path that is not there, a file of an unknown kind, or too many.
    package static func find(_ paths: [String]) throws -> [(path: String, name: String)] {
        var found: [(path: String, name: String)] = []
        for path in paths {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
                throw CommandError(.invalidArgument, "\(path): no such file or folder")
            }
            if isFolder.boolValue {
                found += try below(path)
            } else {
                let name = URL(fileURLWithPath: path).lastPathComponent
                guard isDocument(name) else {
                    throw CommandError(
                        .invalidArgument, "\(path): expected one of .\(extensions.sorted().joined(separator: ", ."))")
                }
                found.append((path, name))
            }
            guard found.count <= maximumFiles else {
                throw CommandError(.invalidArgument, "more than \(maximumFiles) files; ingest them in parts")
            }
        }
        return found
    }

    private static func below(_ folder: String) throws -> [(path: String, name: String)] {
        guard let names = FileManager.default.enumerator(atPath: folder) else {
            throw CommandError(.fileUnavailable, "cannot read \(folder)")
        }
        var documents: [(path: String, name: String)] = []
        for case let name as String in names {
            let isHidden = name.split(separator: "/").contains { $0.hasPrefix(".") }
            if !isHidden, isDocument(name), documents.count <= maximumFiles {
                documents.append((folder + "/" + name, name))
            }
        }
        return documents.sorted { $0.name < $1.name }
    }

    private static func isDocument(_ name: String) -> Bool {
        extensions.contains(URL(fileURLWithPath: name).pathExtension.lowercased())
    }
}
