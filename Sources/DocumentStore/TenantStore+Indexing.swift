import Foundation
import GRDB
import RetrievalCore

/// An attachment to be indexed. `sequence` names this attempt for ever: attaching again makes another.
struct IndexingJob: Sendable, Hashable {
    var sequence: Int64
    var vectorStoreID: String
    var fileID: String
    var maxChunkTokens: Int
    var overlapTokens: Int
}

/// A chunk with everything that is stored of it.
struct IndexedChunk: Sendable {
    var chunk: Chunker.Chunk
    var embedding: [Float]
}

extension TenantStore {
    /// The oldest attachments in progress, apart from those in `excluded`.
    func pendingJobs(excluding excluded: Set<Int64>, limit: Int) async throws -> [IndexingJob] {
        let rows = try await read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM attachment WHERE status = 0 ORDER BY seq LIMIT ?",
                arguments: [limit + excluded.count]
            ).map { row in
                IndexingJob(
                    sequence: row["seq"], vectorStoreID: row["vector_store_id"], fileID: row["file_id"],
                    maxChunkTokens: row["max_chunk_tokens"], overlapTokens: row["overlap_tokens"])
            }
        }
        return Array(rows.filter { !excluded.contains($0.sequence) }.prefix(limit))
    }

    /// False when the attachment is gone, so that its work can stop.
    func isWanted(_ job: IndexingJob) async throws -> Bool {
        try await read { db in try Self.isWanted(db, job) }
    }

    /// Makes a job's chunks searchable, in one transaction: before it nothing of them exists, so a crash leaves a job
    /// that is simply done again. Without effect when the attachment is gone.
    func complete(_ job: IndexingJob, _ chunks: [IndexedChunk]) async throws {
        try await write { db in
            guard try Self.isWanted(db, job) else { return }
            try db.execute(sql: "DELETE FROM chunk WHERE attachment_seq = ?", arguments: [job.sequence])
            let insert = try db.makeStatement(
                sql: """
                    INSERT INTO chunk (attachment_seq, chunk_index, text, start_byte, end_byte, sha256, headings_json,
                        embedding)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """)
            var usage = 0
            for (index, indexed) in chunks.enumerated() {
                let chunk = indexed.chunk
                let blob = EmbeddingBlob.encode(indexed.embedding)
                let headings = chunk.headings.isEmpty ? "" : try JSONEncoder().encode(chunk.headings).text
                try insert.execute(arguments: [
                    job.sequence, index, chunk.text, chunk.range.lowerBound, chunk.range.upperBound,
                    StoreIdentifier.sha256(chunk.text), headings, blob,
                ])
                usage += chunk.text.utf8.count + blob.count
            }
            try db.execute(
                sql: """
                    UPDATE attachment SET status = 1, error_code = '', error_message = '', chunk_count = ?,
                        usage_bytes = ? WHERE seq = ?
                    """, arguments: [chunks.count, usage, job.sequence])
            try self.bumpVersion(db, job.vectorStoreID)
        }
    }

    /// Marks a job as failed. Without effect when the attachment is gone.
    func fail(_ job: IndexingJob, code: String, message: String) async throws {
        try await write { db in
            try db.execute(
                sql: "UPDATE attachment SET status = 2, error_code = ?, error_message = ? WHERE seq = ? AND status = 0",
                arguments: [code, message, job.sequence])
        }
    }

    private static func isWanted(_ db: Database, _ job: IndexingJob) throws -> Bool {
        try Int.fetchOne(db, sql: "SELECT status FROM attachment WHERE seq = ?", arguments: [job.sequence])
            == AttachmentRecord.Status.inProgress.rawValue
    }
}

/// Embeddings as stored: [dimension] f32, little-endian.
enum EmbeddingBlob {
    static func encode(_ values: [Float]) -> Data {
        var data = Data(capacity: values.count * 4)
        for value in values {
            withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) }
        }
        return data
    }

    static func decode(_ data: Data) -> [Float] {
        data.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { index in
                Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)))
            }
        }
    }
}

extension Data {
    /// The bytes as UTF-8 text.
    var text: String { String(decoding: self, as: UTF8.self) }
}
