import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The file of API keys: JSON, readable by its owner only, holding hashes and never a key.
///
///     {"version": 1, "keys": [{"id": "key_…", "tenant": "acme", "sha256": "…", "createdAt": "2026-01-31T12:00:00Z"}]}
///
/// A revoked key stays in the file with its `revokedAt`, so that ids in old logs can still be explained.
package struct KeyFile: Codable, Sendable, Equatable {
    /// One key.
    package struct Entry: Codable, Sendable, Equatable {
        /// `key_` and 16 hex digits; safe to log and show.
        package var id: String
        package var tenant: String
        /// SHA-256 of the whole key, 64 hex digits.
        package var sha256: String
        package var createdAt: Date
        /// When it stopped to be valid; nil while it is.
        package var revokedAt: Date?
        /// Free text of whoever made it.
        package var note: String?
    }

    /// The only version there is.
    package static let currentVersion = 1
    /// Most keys one file may hold.
    package static let maximumKeyCount = 10_000

    package private(set) var version: Int
    package private(set) var keys: [Entry]

    /// An empty file.
    package init() {
        version = Self.currentVersion
        keys = []
    }

    /// Makes a key for `tenant` and returns it; this is the only time that the plain key exists.
    ///
    /// - Throws: `invalidArgument` for a bad tenant name or when the file is full.
    package mutating func add(tenant: String, note: String? = nil, now: Date = Date()) throws -> APIKey {
        guard TenantName.isValid(tenant) else {
            throw IdentityError(
                code: .invalidArgument,
                message: "tenant names are 1 to \(TenantName.maximumLength) of A-Z a-z 0-9 . _ - and start with no dot")
        }
        guard keys.count < Self.maximumKeyCount else {
            throw IdentityError(
                code: .invalidArgument, message: "the key file is full: \(keys.count) of \(Self.maximumKeyCount) keys")
        }
        let key = APIKey.generate()
        let id = "key_" + Hex.encode((0..<8).map { _ in UInt8.random(in: .min ... .max) })
        // Whole seconds, because that is what the file keeps.
        let created = Date(timeIntervalSince1970: now.timeIntervalSince1970.rounded(.down))
        keys.append(Entry(id: id, tenant: tenant, sha256: key.sha256, createdAt: created, revokedAt: nil, note: note))
        return key
    }

    /// Marks a key as revoked. Idempotent: the first time stands.
    ///
    /// - Throws: `keyNotFound`.
    package mutating func revoke(_ id: String, now: Date = Date()) throws {
        guard let index = keys.firstIndex(where: { $0.id == id }) else {
            throw IdentityError(code: .keyNotFound, message: "no key has this id")
        }
        if keys[index].revokedAt == nil {
            keys[index].revokedAt = Date(timeIntervalSince1970: now.timeIntervalSince1970.rounded(.down))
        }
    }

    // MARK: Files

    /// Reads a key file; an absent file is an empty one.
    ///
    /// - Throws: `fileUnavailable`, or `fileMalformed` for JSON of another shape or version.
    package static func load(path: String) throws -> KeyFile {
        if access(path, F_OK) != 0 {
            // Only a file that is not there is empty; one that may not be looked at is not.
            guard errno == ENOENT else { throw systemError("cannot read \(path)") }
            return KeyFile()
        }
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw IdentityError(code: .fileUnavailable, message: "cannot read \(path)", cause: error)
        }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        let file: KeyFile
        do {
            file = try decoder.decode(KeyFile.self, from: data)
        } catch {
            throw IdentityError(code: .fileMalformed, message: "\(path) is not a key file", cause: error)
        }
        guard file.version == currentVersion else {
            throw IdentityError(
                code: .fileMalformed, message: "\(path) has version \(file.version), expected \(currentVersion)")
        }
        for entry in file.keys where !TenantName.isValid(entry.tenant) || Hex.decode(entry.sha256)?.count != 32 {
            throw IdentityError(
                code: .fileMalformed, message: "\(path): key \(entry.id) has a bad tenant name or hash")
        }
        return file
    }

    /// Writes the file so that a reader, or a crash, sees the old one or the new one; mode 0600.
    ///
    /// - Throws: `fileUnavailable`.
    package func save(path: String) throws {
        let encoder = JSONEncoder()
        encoder.dateEncodingStrategy = .iso8601
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let data = try encoder.encode(self) + Data("\n".utf8)
        let temporary = path + ".new-\(getpid())"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.systemError("cannot create \(temporary)") }
        defer { close(descriptor) }
        do {
            try data.withUnsafeBytes { bytes in
                var written = 0
                while written < bytes.count {
                    let count = write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                    if count < 0 && errno == EINTR { continue }
                    guard count > 0 else { throw Self.systemError("cannot write \(temporary)") }
                    written += count
                }
            }
            guard fsync(descriptor) == 0, rename(temporary, path) == 0 else {
                throw Self.systemError("cannot replace \(path)")
            }
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Reads, changes and writes the file under a lock, so that two tools at once lose nothing.
    ///
    /// - Throws: what `load`, `change` and `save` throw, and `fileUnavailable` when the lock cannot be had.
    package static func update<Result>(path: String, _ change: (inout KeyFile) throws -> Result) throws -> Result {
        let lock = open(path + ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw systemError("cannot create \(path).lock") }
        defer { close(lock) }
        guard flock(lock, LOCK_EX) == 0 else { throw systemError("cannot lock \(path).lock") }
        var file = try load(path: path)
        let result = try change(&file)
        try file.save(path: path)
        return result
    }

    private static func systemError(_ what: String) -> IdentityError {
        let number = errno
        return IdentityError(code: .fileUnavailable, message: "\(what): \(String(cString: strerror(number)))")
    }
}
