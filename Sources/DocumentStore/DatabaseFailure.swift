import Foundation
import GRDB

/// Gives errors of databases and folders their place among the store's own.
enum DatabaseFailure {
    /// Less room than this after a failed write is why it failed.
    private static let closeToFull = 1 << 20

    /// Runs `body`; a write that found no room becomes `insufficientStorage`, other errors pass.
    static func translating<Result>(_ directory: String, _ body: () throws -> Result) throws -> Result {
        do { return try body() } catch { throw translate(error, directory) }
    }

    static func translate(_ error: any Error, _ directory: String) -> any Error {
        switch error {
        case let error as DatabaseError where error.resultCode == .SQLITE_FULL:
            return StoreError.noRoom
        case let error as DatabaseError where error.resultCode == .SQLITE_IOERR || error.resultCode == .SQLITE_CANTOPEN:
            // SQLite says FULL for pages only; for its shared memory and for syncing it is an I/O error.
            return DiskSpace.of(directory).available < closeToFull ? StoreError.noRoom : error
        case let error as CocoaError where error.code == .fileWriteOutOfSpace:
            return StoreError.noRoom
        default:
            return error
        }
    }
}
