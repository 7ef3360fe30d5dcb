import Foundation

/// The room on the file system that holds the data directory, in bytes.
package struct DiskSpace: Sendable, Equatable {
    /// Most room that is kept free of uploads and of indexing.
    static let maximumReserve = 64 << 20

    /// What may still be written.
    package var available: Int
    /// Size of the file system.
    package var total: Int

    package init(available: Int, total: Int) {
        self.available = available
        self.total = total
    }

    /// What is kept for deleting and for the databases' logs, so that a full store can be emptied: a twentieth, at most
    /// 64 MiB.
    var reserve: Int { min(Self.maximumReserve, total / 20) }

    /// The room of the file system that `path` is on. One that does not say is taken to have room; writing will tell.
    package static func of(_ path: String) -> DiskSpace {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return DiskSpace(available: .max, total: .max) }
        let block = Int(status.f_frsize)
        return DiskSpace(available: Int(status.f_bavail) * block, total: Int(status.f_blocks) * block)
    }

    /// - Throws: `insufficientStorage` when writing `bytes` would leave less than the reserve.
    func require(_ bytes: Int) throws {
        guard available - reserve >= bytes else { throw StoreError.noRoom }
    }

    /// True for the `errno` of a write that found no room.
    static func isFull(_ number: Int32) -> Bool { number == ENOSPC || number == EDQUOT }
}
