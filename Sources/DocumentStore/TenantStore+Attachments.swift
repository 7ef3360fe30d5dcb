import GRDB
import RetrievalCore

extension TenantStore {
    /// Attaches a file, to be indexed in the background.
    ///
    /// Attaching what is attached already with the same chunking changes nothing but the attributes; with another
    /// chunking, or after a failure, indexing starts anew.
    func attach(
        fileID: String, to vectorStoreID: String, chunking: Chunker.Parameters, attributesJSON: String
    ) async throws -> AttachmentRecord {
        do {
            try chunking.validate()
        } catch let error as RetrievalError {
            throw StoreError(code: .invalidArgument, message: error.message)
        }
        try StoreValidation.attributes(attributesJSON)
        return try await write { db in
            _ = try Self.vectorStoreSequence(db, vectorStoreID)
            try self.attach(
                db, fileID: fileID, to: vectorStoreID, chunking: chunking, attributesJSON: attributesJSON)
            return try Self.attachment(db, fileID, vectorStoreID)
        }
    }

    /// `attach` within a transaction, for a vector store that exists.
    func attach(
        _ db: Database, fileID: String, to vectorStoreID: String, chunking: Chunker.Parameters, attributesJSON: String
    ) throws {
        _ = try Self.file(db, fileID)
        if let row = try Self.attachmentRow(db, fileID, vectorStoreID) {
            let existing = AttachmentRecord(row: row)
            if existing.chunking == chunking && (existing.status == .inProgress || existing.status == .completed) {
                if existing.attributesJSON != attributesJSON {
                    try db.execute(
                        sql: "UPDATE attachment SET attributes_json = ? WHERE seq = ?",
                        arguments: [attributesJSON, row["seq"] as Int64])
                    try bumpVersion(db, vectorStoreID)
                }
                return
            }
            try db.execute(sql: "DELETE FROM attachment WHERE seq = ?", arguments: [row["seq"] as Int64])
            try bumpVersion(db, vectorStoreID)
        }
        let pending = try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM attachment WHERE status = 0") ?? 0
        guard pending < configuration.maxPendingPerTenant else {
            throw StoreError(
                code: .limitExceeded,
                message: "\(pending) files wait for indexing already; the limit is \(configuration.maxPendingPerTenant)"
            )
        }
        try db.execute(
            sql: """
                INSERT INTO attachment (vector_store_id, file_id, status, created_at, max_chunk_tokens, overlap_tokens,
                    attributes_json)
                VALUES (?, ?, 0, ?, ?, ?, ?)
                """,
            arguments: [
                vectorStoreID, fileID, now(), chunking.maxTokens, chunking.overlapTokens, attributesJSON,
            ])
    }

    func attachment(_ fileID: String, _ vectorStoreID: String) async throws -> AttachmentRecord {
        try await read { db in
            _ = try Self.vectorStoreSequence(db, vectorStoreID)
            return try Self.attachment(db, fileID, vectorStoreID)
        }
    }

    func attachments(
        _ vectorStoreID: String, _ page: Page, status: AttachmentRecord.Status?
    ) async throws -> Listing<AttachmentRecord> {
        try page.validate()
        return try await read { db in
            _ = try Self.vectorStoreSequence(db, vectorStoreID)
            let after = try page.after.map { after in
                guard let row = try Self.attachmentRow(db, after, vectorStoreID) else {
                    throw StoreError.notAttached(after, to: vectorStoreID)
                }
                return row["seq"] as Int64
            }
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM attachment
                    WHERE vector_store_id = ? AND (? IS NULL OR status = ?) AND \(page.condition)
                    ORDER BY seq \(page.order) LIMIT ?
                    """,
                arguments: [vectorStoreID, status?.rawValue, status?.rawValue, after, after, page.limit + 1])
            return Listing(fetched: rows.map(AttachmentRecord.init(row:)), limit: page.limit)
        }
    }

    func detach(_ fileID: String, from vectorStoreID: String) async throws {
        try await write { db in
            _ = try Self.vectorStoreSequence(db, vectorStoreID)
            _ = try Self.attachment(db, fileID, vectorStoreID)
            try db.execute(
                sql: "DELETE FROM attachment WHERE vector_store_id = ? AND file_id = ?",
                arguments: [vectorStoreID, fileID])
            try self.bumpVersion(db, vectorStoreID)
        }
    }

    /// Says that a search can find something else from now on.
    func bumpVersion(_ db: Database, _ vectorStoreID: String) throws {
        try db.execute(
            sql: "UPDATE vector_store SET version = version + 1, last_active_at = ? WHERE id = ?",
            arguments: [now(), vectorStoreID])
    }

    private static func attachmentRow(_ db: Database, _ fileID: String, _ vectorStoreID: String) throws -> Row? {
        try Row.fetchOne(
            db, sql: "SELECT * FROM attachment WHERE vector_store_id = ? AND file_id = ?",
            arguments: [vectorStoreID, fileID])
    }

    private static func attachment(
        _ db: Database, _ fileID: String, _ vectorStoreID: String
    ) throws -> AttachmentRecord {
        guard let row = try attachmentRow(db, fileID, vectorStoreID) else {
            throw StoreError.notAttached(fileID, to: vectorStoreID)
        }
        return AttachmentRecord(row: row)
    }
}

extension AttachmentRecord {
    init(row: Row) {
        self.init(
            fileID: row["file_id"], vectorStoreID: row["vector_store_id"],
            // A status that this version does not know can only be a failure to it.
            status: Status(rawValue: row["status"]) ?? .failed, errorCode: row["error_code"],
            errorMessage: row["error_message"], createdAt: row["created_at"], usageBytes: row["usage_bytes"],
            chunkCount: row["chunk_count"],
            chunking: Chunker.Parameters(maxTokens: row["max_chunk_tokens"], overlapTokens: row["overlap_tokens"]),
            attributesJSON: row["attributes_json"])
    }
}
