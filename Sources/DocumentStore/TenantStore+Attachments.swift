import GRDB
import RetrievalCore

extension TenantStore {
    /// Attaches a file, to be indexed in the background.
    ///
    /// Attaching what is attached already with the same chunking changes nothing but the attributes; with another
    /// chunking, or after a failure, indexing starts anew.
    ///
    /// A file with a document id becomes that document's next version: what waits to become one is given up, what failed
    /// to is forgotten, and what is searchable stays so until the file is indexed.
    func attach(fileID: String, to vectorStoreID: String, options: AttachmentOptions) async throws -> AttachmentRecord {
        try options.validate()
        let (record, forgotten) = try await write { db -> (AttachmentRecord, [String]) in
            _ = try Self.vectorStoreSequence(db, vectorStoreID)
            let forgotten = try self.attach(db, fileID: fileID, to: vectorStoreID, options: options)
            return (try Self.attachment(db, fileID, vectorStoreID), forgotten)
        }
        forgotten.forEach(content.remove)
        return record
    }

    /// `attach` within a transaction, for a vector store that exists.
    ///
    /// - Returns: The files that went along, as ``removeAttachments(_:where:_:)``.
    @discardableResult
    func attach(
        _ db: Database, fileID: String, to vectorStoreID: String, options: AttachmentOptions
    ) throws -> [String] {
        _ = try Self.file(db, fileID)
        var options = options
        if let row = try Self.attachmentRow(db, fileID, vectorStoreID) {
            let existing = AttachmentRecord(row: row)
            options.ownsFile = options.ownsFile || existing.ownsFile
            if options.documentID.isEmpty { options.documentID = existing.documentID }
            if try Self.stays(db, existing, options) {
                try update(db, existing, sequence: row["seq"], options)
                return []
            }
            try db.execute(sql: "DELETE FROM attachment WHERE seq = ?", arguments: [row["seq"] as Int64])
            try bumpVersion(db, vectorStoreID)
        }
        var forgotten: [String] = []
        if !options.documentID.isEmpty {
            forgotten = try Self.removeAttachments(
                db, where: "vector_store_id = ? AND document_id = ? AND status >= 2 AND file_id <> ?",
                [vectorStoreID, options.documentID, fileID])
            try Self.giveUpWaiting(db, options.documentID, in: vectorStoreID)
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
                    attributes_json, document_id, owns_file)
                VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                vectorStoreID, fileID, now(), options.chunking.maxTokens, options.chunking.overlapTokens,
                options.attributesJSON, options.documentID, options.ownsFile,
            ])
        return forgotten
    }

    /// True when an attachment is already what is asked for, but for what can be changed in its row.
    private static func stays(_ db: Database, _ existing: AttachmentRecord, _ options: AttachmentOptions) throws -> Bool
    {
        guard existing.chunking == options.chunking, existing.status == .inProgress || existing.status == .completed
        else { return false }
        if options.documentID.isEmpty { return true }
        // Another version that came later makes this one the older; then it must come again.
        let latest = try String.fetchOne(
            db,
            sql: """
                SELECT file_id FROM attachment WHERE vector_store_id = ? AND document_id = ? AND status <= 1
                ORDER BY seq DESC LIMIT 1
                """, arguments: [existing.vectorStoreID, options.documentID])
        return latest == nil || latest == existing.fileID
    }

    private func update(
        _ db: Database, _ existing: AttachmentRecord, sequence: Int64, _ options: AttachmentOptions
    ) throws {
        try db.execute(
            sql: "UPDATE attachment SET attributes_json = ?, document_id = ?, owns_file = ? WHERE seq = ?",
            arguments: [options.attributesJSON, options.documentID, options.ownsFile, sequence])
        if existing.attributesJSON != options.attributesJSON { try bumpVersion(db, existing.vectorStoreID) }
    }

    /// Takes a document's version that waits or is being indexed out of the queue.
    private static func giveUpWaiting(_ db: Database, _ documentID: String, in vectorStoreID: String) throws {
        try db.execute(
            sql: """
                DELETE FROM chunk WHERE attachment_seq IN (
                    SELECT seq FROM attachment
                    WHERE vector_store_id = :store AND document_id = :document AND status = 0)
                """, arguments: ["store": vectorStoreID, "document": documentID])
        try db.execute(
            sql: """
                UPDATE attachment SET status = 3, chunk_count = 0, usage_bytes = 0, next_chunk = -1, content_key = ''
                WHERE vector_store_id = :store AND document_id = :document AND status = 0
                """, arguments: ["store": vectorStoreID, "document": documentID])
    }

    func attachment(_ fileID: String, _ vectorStoreID: String) async throws -> AttachmentRecord {
        try await read { db in
            _ = try Self.vectorStoreSequence(db, vectorStoreID)
            return try Self.attachment(db, fileID, vectorStoreID)
        }
    }

    func attachments(
        _ vectorStoreID: String, _ page: Page, status: AttachmentRecord.Status?, documentID: String
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
                    SELECT * FROM (\(Self.selectAttachment))
                    WHERE vector_store_id = ? AND (? IS NULL OR status = ?) AND (? = '' OR document_id = ?)
                        AND \(page.condition)
                    ORDER BY seq \(page.order) LIMIT ?
                    """,
                arguments: [
                    vectorStoreID, status?.rawValue, status?.rawValue, documentID, documentID, after, after,
                    page.limit + 1,
                ])
            return Listing(fetched: rows.map(AttachmentRecord.init(row:)), limit: page.limit)
        }
    }

    /// Takes a file out of a vector store.
    func detach(_ fileID: String, from vectorStoreID: String) async throws {
        let forgotten = try await write { db in
            _ = try Self.vectorStoreSequence(db, vectorStoreID)
            _ = try Self.attachment(db, fileID, vectorStoreID)
            let forgotten = try Self.removeAttachments(
                db, where: "vector_store_id = ? AND file_id = ?", [vectorStoreID, fileID])
            try self.bumpVersion(db, vectorStoreID)
            return forgotten
        }
        forgotten.forEach(content.remove)
    }

    /// Removes attachments, and the files that they own and that nothing else holds.
    ///
    /// - Returns: The files removed, whose contents are to be removed after the commit: a crash in between leaves
    ///   orphans, which the next start removes.
    static func removeAttachments(
        _ db: Database, where condition: String, _ arguments: StatementArguments
    ) throws -> [String] {
        let owned = try String.fetchAll(
            db, sql: "SELECT file_id FROM attachment WHERE owns_file = 1 AND \(condition)", arguments: arguments)
        try db.execute(sql: "DELETE FROM attachment WHERE \(condition)", arguments: arguments)
        var removed: [String] = []
        for file in Set(owned) {
            let isHeld = try Bool.fetchOne(
                db, sql: "SELECT EXISTS (SELECT 1 FROM attachment WHERE file_id = ?)", arguments: [file])
            if isHeld == true { continue }
            try db.execute(sql: "DELETE FROM file WHERE id = ?", arguments: [file])
            removed.append(file)
        }
        return removed
    }

    /// Says that a search can find something else from now on.
    func bumpVersion(_ db: Database, _ vectorStoreID: String) throws {
        try db.execute(
            sql: "UPDATE vector_store SET version = version + 1, last_active_at = ? WHERE id = ?",
            arguments: [now(), vectorStoreID])
    }

    private static let selectAttachment = """
        SELECT attachment.*, file.sha256 AS file_sha256,
            CASE status WHEN 0 THEN MAX(next_chunk, 0) WHEN 1 THEN chunk_count ELSE 0 END AS indexed_chunks
        FROM attachment JOIN file ON file.id = attachment.file_id
        """

    private static func attachmentRow(_ db: Database, _ fileID: String, _ vectorStoreID: String) throws -> Row? {
        try Row.fetchOne(
            db, sql: "\(selectAttachment) WHERE vector_store_id = ? AND file_id = ?",
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
            chunkCount: row["chunk_count"], indexedChunks: row["indexed_chunks"],
            chunking: Chunker.Parameters(maxTokens: row["max_chunk_tokens"], overlapTokens: row["overlap_tokens"]),
            attributesJSON: row["attributes_json"], documentID: row["document_id"], ownsFile: row["owns_file"],
            sha256: row["file_sha256"])
    }
}
