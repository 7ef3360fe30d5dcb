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
        return migrator
    }()
}
