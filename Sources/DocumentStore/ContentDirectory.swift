import Crypto
import Foundation

/// The contents of a tenant's files, one plain file each, named by id.
///
///     uploads/<file id>   being written; nothing in the database speaks of it
///     files/<file id>     complete: synced, then moved here, then entered in the database
///
/// A crash between two of these steps leaves at most a file that the database does not know; it is removed when the
/// tenant is opened the next time. Bytes are checked against their SHA-256 whenever they are read.
struct ContentDirectory: Sendable {
    let root: String
    private var uploads: String { "\(root)/uploads" }
    private var files: String { "\(root)/files" }

    /// Creates the folders that are missing. Where they are there, nothing is written: a full disk can be read.
    init(root: String) throws {
        self.root = root
        for path in ["\(root)/uploads", "\(root)/files"] {
            var isFolder: ObjCBool = false
            if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue { continue }
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            try Self.syncDirectory(root)
        }
    }

    /// Forgets uploads that a crash interrupted. Only while none is under way.
    func removeUploads() throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: uploads) { unlink("\(uploads)/\(name)") }
    }

    func uploadPath(_ id: String) -> String { "\(uploads)/\(id)" }
    func contentPath(_ id: String) -> String { "\(files)/\(id)" }

    /// Removes contents that the database does not know.
    func removeOrphans(known: Set<String>) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: files) where !known.contains(name) {
            remove(name)
        }
    }

    /// Moves a synced upload to its place.
    func commit(_ id: String) throws {
        guard rename(uploadPath(id), contentPath(id)) == 0 else { throw Self.systemError("moving an upload") }
        try Self.syncDirectory(files)
    }

    /// Removes a content; a missing one is fine.
    func remove(_ id: String) {
        unlink(contentPath(id))
    }

    /// The whole content, checked.
    ///
    /// - Throws: `dataLoss` when size or checksum differ, or the file is gone.
    func read(_ file: FileRecord) throws -> [UInt8] {
        let bytes: [UInt8]
        do {
            bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: contentPath(file.id))))
        } catch {
            throw StoreError(code: .dataLoss, message: "the content of file \(file.id) cannot be read", cause: error)
        }
        guard bytes.count == file.sizeBytes, StoreIdentifier.hex(SHA256.hash(data: bytes)) == file.sha256 else {
            throw StoreError(
                code: .dataLoss,
                message: "the content of file \(file.id) is damaged: \(bytes.count) bytes that do not match the "
                    + "checksum of the \(file.sizeBytes) stored")
        }
        return bytes
    }

    /// Makes a folder's entries durable.
    static func syncDirectory(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw systemError("opening a folder") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw systemError("syncing a folder") }
    }

    static func systemError(_ what: String) -> StoreError {
        let number = errno
        if DiskSpace.isFull(number) { return .noRoom }
        let code = StoreError.Code.internalError
        return StoreError(code: code, message: "\(what) failed: \(String(cString: strerror(number)))")
    }
}
