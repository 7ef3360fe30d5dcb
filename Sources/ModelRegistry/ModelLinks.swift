import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Which links of a folder an import may follow.
///
/// A link may stand for a file in the folder itself or, where the folder is a snapshot of a hub's cache
/// (`models--OWNER--NAME/snapshots/COMMIT`), in the `blobs` folder of that cache entry, which is where its links lead.
/// Any other would bring a file of this machine that nobody meant into the registry.
struct ModelLinks {
    /// Real paths without links, each with a slash at its end.
    private let roots: [String]
    private let followsAll: Bool

    /// - Parameters:
    ///   - folder: The folder that is imported.
    ///   - followsAll: Follow links wherever they lead.
    init(folder: String, followsAll: Bool) throws {
        self.followsAll = followsAll
        guard let real = Self.realPath(folder) else { throw SystemError.last("cannot open \(folder)") }
        var roots = [real == "/" ? "/" : real + "/"]
        var parts = real.split(separator: "/", omittingEmptySubsequences: true)
        if let place = parts.lastIndex(of: "snapshots"), place > 0, parts[place - 1].hasPrefix("models--") {
            parts.removeSubrange(place...)
            roots.append("/" + parts.joined(separator: "/") + "/blobs/")
        }
        self.roots = roots
    }

    /// The file behind `path`; nil for a folder that is no link, which is walked by itself.
    ///
    /// - Throws: ``ModelRegistryError`` `invalidArgument` for a link that leads out, to a folder or to nothing, and for
    ///   what is neither file nor folder; `fileUnavailable`.
    func file(_ path: String) throws -> String? {
        var information = stat()
        guard lstat(path, &information) == 0 else { throw SystemError.last("cannot open \(path)") }
        switch information.st_mode & S_IFMT {
        case S_IFREG: return path
        case S_IFDIR: return nil
        case S_IFLNK: break
        default: throw Self.refusal("\(path) is neither a file nor a folder")
        }
        let written = (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) ?? "?"
        guard let target = Self.realPath(path) else {
            throw Self.refusal("\(path) is a link to \(written), which is not there")
        }
        guard DurableFiles.size(path: target) != nil else {
            throw Self.refusal("\(path) is a link to \(target), which is no file; only links to files are followed")
        }
        guard followsAll || roots.contains(where: { target.hasPrefix($0) }) else {
            throw Self.refusal(
                "\(path) is a link out of the folder, to \(target); --follow-links imports that file all the same")
        }
        return target
    }

    private static func refusal(_ message: String) -> ModelRegistryError {
        ModelRegistryError(code: .invalidArgument, message: message)
    }

    private static func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
