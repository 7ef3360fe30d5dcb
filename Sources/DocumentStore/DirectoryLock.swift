import Foundation

/// Keeps a second process out of a data directory. The lock ends with the process, however that ends.
final class DirectoryLock: Sendable {
    private let descriptor: Int32

    /// - Throws: `unavailable` when another process holds the lock.
    init(directory: String) throws {
        descriptor = open("\(directory)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ContentDirectory.systemError("opening the data directory's lock") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw StoreError(code: .unavailable, message: "the data directory is in use by another process")
        }
    }

    deinit { close(descriptor) }
}
