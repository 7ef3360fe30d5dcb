import GRDB

/// The tables of one tenant's database.
///
/// Times are Unix seconds; `seq` columns order listings and are never used again for another row. A chunk belongs to an
/// attachment, so that detaching or deleting anything above it takes it along.
enum StoreSchema {
    static let migrator: DatabaseMigrator = {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1: files, vector stores, attachments, chunks") { db in
            try db.execute(
                sql: """
                    CREATE TABLE setting (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;

                    CREATE TABLE file (
                        seq INTEGER PRIMARY KEY AUTOINCREMENT,
                        id TEXT NOT NULL UNIQUE,
                        filename TEXT NOT NULL,
                        purpose TEXT NOT NULL,
                        content_type TEXT NOT NULL,
                        size_bytes INTEGER NOT NULL,
                        created_at INTEGER NOT NULL,
                        sha256 TEXT NOT NULL
                    );

                    CREATE TABLE vector_store (
                        seq INTEGER PRIMARY KEY AUTOINCREMENT,
                        id TEXT NOT NULL UNIQUE,
                        name TEXT NOT NULL,
                        metadata_json TEXT NOT NULL,
                        created_at INTEGER NOT NULL,
                        last_active_at INTEGER NOT NULL,
                        version INTEGER NOT NULL
                    );

                    CREATE TABLE attachment (
                        seq INTEGER PRIMARY KEY AUTOINCREMENT,
                        vector_store_id TEXT NOT NULL REFERENCES vector_store (id) ON DELETE CASCADE,
                        file_id TEXT NOT NULL REFERENCES file (id) ON DELETE CASCADE,
                        -- AttachmentRecord.Status
                        status INTEGER NOT NULL,
                        error_code TEXT NOT NULL DEFAULT '',
                        error_message TEXT NOT NULL DEFAULT '',
                        created_at INTEGER NOT NULL,
                        usage_bytes INTEGER NOT NULL DEFAULT 0,
                        chunk_count INTEGER NOT NULL DEFAULT 0,
                        max_chunk_tokens INTEGER NOT NULL,
                        overlap_tokens INTEGER NOT NULL,
                        attributes_json TEXT NOT NULL,
                        UNIQUE (vector_store_id, file_id)
                    );
                    CREATE INDEX attachment_file ON attachment (file_id);
                    CREATE INDEX attachment_pending ON attachment (seq) WHERE status = 0;

                    CREATE TABLE chunk (
                        id INTEGER PRIMARY KEY AUTOINCREMENT,
                        attachment_seq INTEGER NOT NULL REFERENCES attachment (seq) ON DELETE CASCADE,
                        chunk_index INTEGER NOT NULL,
                        text TEXT NOT NULL,
                        start_byte INTEGER NOT NULL,
                        end_byte INTEGER NOT NULL,
                        sha256 TEXT NOT NULL,
                        headings_json TEXT NOT NULL,
                        -- [dimension] f32, little-endian
                        embedding BLOB NOT NULL,
                        UNIQUE (attachment_seq, chunk_index)
                    );
                    """)
        }
        migrator.registerMigration("2: documents, progress of indexing, equal contents, expiry") { db in
            try db.execute(
                sql: """
                    -- Which document the file is a version of; '': of none. The greatest seq of a document is what was
                    -- asked for last; at most one of its attachments is in progress, and then it is that one.
                    ALTER TABLE attachment ADD COLUMN document_id TEXT NOT NULL DEFAULT '';
                    -- 1: the file is deleted with its last attachment.
                    ALTER TABLE attachment ADD COLUMN owns_file INTEGER NOT NULL DEFAULT 0;
                    -- While in progress: the next chunk to embed; -1 while the file is not cut into chunks.
                    ALTER TABLE attachment ADD COLUMN next_chunk INTEGER NOT NULL DEFAULT -1;
                    -- SHA-256 over the chunks; equal for files that give the same chunks. '' before there are chunks.
                    ALTER TABLE attachment ADD COLUMN content_key TEXT NOT NULL DEFAULT '';
                    CREATE INDEX attachment_document ON attachment (vector_store_id, document_id)
                        WHERE document_id != '';

                    -- SHA-256 of what was embedded; NULL while the embedding is not there yet. Rows of before the
                    -- column have none and are embedded again when their text comes again.
                    ALTER TABLE chunk ADD COLUMN input_sha256 BLOB;
                    CREATE INDEX chunk_input ON chunk (input_sha256) WHERE input_sha256 IS NOT NULL;

                    -- 0: never.
                    ALTER TABLE vector_store ADD COLUMN expires_after_days INTEGER NOT NULL DEFAULT 0;
                    ALTER TABLE file ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;
                    CREATE INDEX file_expiry ON file (expires_at) WHERE expires_at > 0;
                    """)
            for sequence in try Int64.fetchAll(db, sql: "SELECT seq FROM attachment WHERE status = 1") {
                var key = ContentKey()
                let rows = try Row.fetchCursor(
                    db,
                    sql: """
                        SELECT sha256, start_byte, end_byte, headings_json FROM chunk WHERE attachment_seq = ?
                        ORDER BY chunk_index
                        """, arguments: [sequence])
                while let row = try rows.next() {
                    key.add(
                        textSHA256: row["sha256"], start: row["start_byte"], end: row["end_byte"],
                        headingsJSON: row["headings_json"])
                }
                try db.execute(
                    sql: "UPDATE attachment SET content_key = ? WHERE seq = ?", arguments: [key.finish(), sequence])
            }
        }
        return migrator
    }()
}
