/// A refused or failed operation of the document store.
///
/// Messages name ids, counts and limits; never file names, document text or queries.
package struct StoreError: Error, CustomStringConvertible {
    /// What kind of failure it is.
    package enum Code: String, Sendable {
        case invalidArgument
        /// No such object for this tenant; said alike of objects that belong to another.
        case notFound
        /// A configured limit is reached; retrying helps only after something was deleted or finished.
        case limitExceeded
        /// The disk has no room for a write. Reads and searches go on; writes succeed again once there is room.
        case insufficientStorage
        /// Stored bytes do not match their checksum.
        case dataLoss
        /// The data directory is in use by another process, or the store is closing.
        case unavailable
        case internalError
    }

    package var code: Code
    package var message: String
    package var cause: (any Error)?

    package init(code: Code, message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    package var description: String { "\(code.rawValue): \(message)" + (cause.map { " (\($0))" } ?? "") }

    static let noRoom = StoreError(
        code: .insufficientStorage, message: "the store's disk is full; try again when there is room")

    static func noSuchFile(_ id: String) -> StoreError {
        StoreError(code: .notFound, message: "no file with id \(shown(id))")
    }

    static func noSuchVectorStore(_ id: String) -> StoreError {
        StoreError(code: .notFound, message: "no vector store with id \(shown(id))")
    }

    static func notAttached(_ fileID: String, to vectorStoreID: String) -> StoreError {
        StoreError(
            code: .notFound, message: "file \(shown(fileID)) is not attached to vector store \(shown(vectorStoreID))")
    }

    /// An id as sent, unless it is too long or odd to be one.
    private static func shown(_ id: String) -> String {
        let plain = id.utf8.count <= 64 && id.utf8.allSatisfy { (0x21...0x7E).contains($0) }
        return plain ? "'\(id)'" : "(not an id)"
    }
}
