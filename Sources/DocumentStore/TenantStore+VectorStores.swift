import Foundation
import GRDB
import RetrievalCore

extension TenantStore {
    /// Creates a vector store with files attached: all or nothing.
    func createVectorStore(
        name: String, metadata: [String: String], fileIDs: [String], chunking: Chunker.Parameters,
        expiresAfterDays: Int
    ) async throws -> VectorStoreRecord {
        try StoreValidation.text(name, "name", maxBytes: 1024)
        try StoreValidation.metadata(metadata)
        guard fileIDs.count <= 500 else {
            throw StoreError(
                code: .invalidArgument, message: "at most 500 files can be attached at once, got \(fileIDs.count)")
        }
        let options = AttachmentOptions(chunking: chunking)
        try options.validate()
        guard (0...365).contains(expiresAfterDays) else {
            throw StoreError(
                code: .invalidArgument, message: "expires after days must be 0...365, got \(expiresAfterDays)")
        }
        let id = StoreIdentifier.vectorStore()
        let json = String(decoding: try JSONEncoder().encode(metadata), as: UTF8.self)
        let limit = configuration.maxVectorStoresPerTenant
        return try await write { db in
            let count = try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM vector_store") ?? 0
            guard count < limit else {
                throw StoreError(
                    code: .limitExceeded, message: "there are \(count) vector stores already; the limit is \(limit)")
            }
            try db.execute(
                sql: """
                    INSERT INTO vector_store (id, name, metadata_json, created_at, last_active_at, version,
                        expires_after_days)
                    VALUES (:id, :name, :metadata, :now, :now, 1, :days)
                    """,
                arguments: ["id": id, "name": name, "metadata": json, "now": self.now(), "days": expiresAfterDays])
            for fileID in fileIDs {
                try self.attach(db, fileID: fileID, to: id, options: options)
            }
            return try Self.vectorStore(db, id)
        }
    }

    func vectorStore(_ id: String) async throws -> VectorStoreRecord {
        try await read { db in try Self.vectorStore(db, id) }
    }

    func vectorStores(_ page: Page) async throws -> Listing<VectorStoreRecord> {
        try page.validate()
        return try await read { db in
            let after = try page.after.map { try Self.vectorStoreSequence(db, $0) }
            let rows = try Row.fetchAll(
                db, sql: "\(Self.selectVectorStore) WHERE \(page.condition) ORDER BY seq \(page.order) LIMIT ?",
                arguments: [after, after, page.limit + 1])
            return Listing(fetched: try rows.map(VectorStoreRecord.init(row:)), limit: page.limit)
        }
    }

    func deleteVectorStore(_ id: String) async throws {
        let forgotten = try await write { db in
            _ = try Self.vectorStoreSequence(db, id)
            return try Self.deleteVectorStore(db, id)
        }
        forgotten.forEach(content.remove)
    }

    /// Deletes the files and the vector stores whose time is over.
    ///
    /// - Returns: The ids of the vector stores.
    func deleteExpired() async throws -> [String] {
        let (expired, forgotten) = try await write { db -> ([String], [String]) in
            let expired = try String.fetchAll(
                db,
                sql: """
                    SELECT id FROM vector_store
                    WHERE expires_after_days > 0 AND last_active_at + expires_after_days * 86400 <= ?
                    """, arguments: [self.now()])
            var forgotten = try expired.flatMap { try Self.deleteVectorStore(db, $0) }
            let files = try String.fetchAll(
                db, sql: "SELECT id FROM file WHERE expires_at > 0 AND expires_at <= ?", arguments: [self.now()])
            for file in files { try self.deleteFile(db, file) }
            forgotten += files
            return (expired, forgotten)
        }
        forgotten.forEach(content.remove)
        return expired
    }

    /// - Returns: The files that went along, as `removeAttachments`.
    private static func deleteVectorStore(_ db: Database, _ id: String) throws -> [String] {
        let forgotten = try removeAttachments(db, where: "vector_store_id = ?", [id])
        try db.execute(sql: "DELETE FROM vector_store WHERE id = ?", arguments: [id])
        return forgotten
    }

    static func vectorStore(_ db: Database, _ id: String) throws -> VectorStoreRecord {
        guard let row = try Row.fetchOne(db, sql: "\(selectVectorStore) WHERE id = ?", arguments: [id]) else {
            throw StoreError.noSuchVectorStore(id)
        }
        return try VectorStoreRecord(row: row)
    }

    static func vectorStoreSequence(_ db: Database, _ id: String) throws -> Int64 {
        guard let seq = try Int64.fetchOne(db, sql: "SELECT seq FROM vector_store WHERE id = ?", arguments: [id]) else {
            throw StoreError.noSuchVectorStore(id)
        }
        return seq
    }

    private static let selectVectorStore = """
        SELECT vector_store.*,
            (SELECT IFNULL(SUM(usage_bytes), 0) FROM attachment WHERE vector_store_id = vector_store.id) AS usage_bytes,
            (SELECT COUNT(*) FROM attachment WHERE vector_store_id = vector_store.id AND status = 0) AS in_progress,
            (SELECT COUNT(*) FROM attachment WHERE vector_store_id = vector_store.id AND status = 1) AS completed,
            (SELECT COUNT(*) FROM attachment WHERE vector_store_id = vector_store.id AND status = 2) AS failed,
            (SELECT COUNT(*) FROM attachment WHERE vector_store_id = vector_store.id AND status = 3) AS cancelled
        FROM vector_store
        """
}

extension VectorStoreRecord {
    init(row: Row) throws {
        let json: String = row["metadata_json"]
        self.init(
            id: row["id"], name: row["name"],
            metadata: try JSONDecoder().decode([String: String].self, from: Data(json.utf8)),
            createdAt: row["created_at"], lastActiveAt: row["last_active_at"], version: row["version"],
            usageBytes: row["usage_bytes"],
            fileCounts: FileCounts(
                inProgress: row["in_progress"], completed: row["completed"], failed: row["failed"],
                cancelled: row["cancelled"]), expiresAfterDays: row["expires_after_days"])
    }
}
