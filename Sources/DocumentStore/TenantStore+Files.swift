import GRDB

extension TenantStore {
    /// Enters a file whose content is in place already.
    func insertFile(id: String, header: FileUpload.Header, sha256: String) async throws -> FileRecord {
        let moment = now()
        let record = FileRecord(
            id: id, filename: header.filename, purpose: header.purpose, contentType: header.contentType,
            sizeBytes: header.sizeBytes, createdAt: moment, sha256: sha256,
            expiresAt: header.expiresAfterSeconds > 0 ? moment + header.expiresAfterSeconds : nil)
        let limit = configuration.maxFilesPerTenant
        return try await write { db in
            let count = try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM file") ?? 0
            guard count < limit else {
                throw StoreError(
                    code: .limitExceeded, message: "there are \(count) files already; the limit is \(limit)")
            }
            try db.execute(
                sql: """
                    INSERT INTO file (id, filename, purpose, content_type, size_bytes, created_at, sha256, expires_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    record.id, record.filename, record.purpose, record.contentType, record.sizeBytes,
                    record.createdAt, record.sha256, record.expiresAt ?? 0,
                ])
            return record
        }
    }

    func file(_ id: String) async throws -> FileRecord {
        try await read { db in try Self.file(db, id) }
    }

    /// - Parameter purpose: Files of this purpose only; nil: all.
    func files(_ page: Page, purpose: String?) async throws -> Listing<FileRecord> {
        try page.validate()
        return try await read { db in
            let after = try page.after.map { after in
                guard let seq = try Int64.fetchOne(db, sql: "SELECT seq FROM file WHERE id = ?", arguments: [after])
                else { throw StoreError.noSuchFile(after) }
                return seq
            }
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM file WHERE (? IS NULL OR purpose = ?) AND \(page.condition)
                    ORDER BY seq \(page.order) LIMIT ?
                    """, arguments: [purpose, purpose, after, after, page.limit + 1])
            return Listing(fetched: rows.map(FileRecord.init(row:)), limit: page.limit)
        }
    }

    /// Deletes a file, and its chunks from every vector store.
    func deleteFile(_ id: String) async throws {
        try await write { db in
            _ = try Self.file(db, id)
            try self.deleteFile(db, id)
        }
        // After the commit: a crash in between leaves an orphan, which the next start removes.
        content.remove(id)
    }

    /// `deleteFile` within a transaction, for a file that exists; its content is to be removed after the commit.
    func deleteFile(_ db: Database, _ id: String) throws {
        try db.execute(
            sql: """
                UPDATE vector_store SET version = version + 1, last_active_at = :now
                WHERE id IN (SELECT vector_store_id FROM attachment WHERE file_id = :file)
                """, arguments: ["now": now(), "file": id])
        try db.execute(sql: "DELETE FROM file WHERE id = ?", arguments: [id])
    }

    /// The checked content of a file.
    func readContent(_ id: String) async throws -> (file: FileRecord, bytes: [UInt8]) {
        let record = try await file(id)
        return try await BlockingWork.run { (record, try self.content.read(record)) }
    }

    static func file(_ db: Database, _ id: String) throws -> FileRecord {
        guard let row = try Row.fetchOne(db, sql: "SELECT * FROM file WHERE id = ?", arguments: [id]) else {
            throw StoreError.noSuchFile(id)
        }
        return FileRecord(row: row)
    }
}

extension FileRecord {
    init(row: Row) {
        let expiry: Int = row["expires_at"]
        self.init(
            id: row["id"], filename: row["filename"], purpose: row["purpose"], contentType: row["content_type"],
            sizeBytes: row["size_bytes"], createdAt: row["created_at"], sha256: row["sha256"],
            expiresAt: expiry > 0 ? expiry : nil)
    }
}

extension Page {
    /// Takes the `seq` of `after` twice, as arguments.
    var condition: String { ascending ? "(? IS NULL OR seq > ?)" : "(? IS NULL OR seq < ?)" }
    var order: String { ascending ? "ASC" : "DESC" }
}
