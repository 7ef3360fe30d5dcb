import Foundation
import Synchronization

/// Keeps a second process out of a data directory. The lock ends with the process, however that ends.
final class DirectoryLock: Sendable {
    /// -1 once released.
    private let descriptor: Mutex<Int32>

    /// - Throws: `unavailable` when another process holds the lock.
    init(directory: String) throws {
        let file = open("\(directory)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw ContentDirectory.systemError("opening the data directory's lock") }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            close(file)
            throw StoreError(code: .unavailable, message: "the data directory is in use by another process")
        }
        descriptor = Mutex(file)
    }

    deinit { release() }

    /// Lets the next one in.
    func release() {
        descriptor.withLock { descriptor in
            if descriptor >= 0 { close(descriptor) }
            descriptor = -1
        }
    }
}
