import Crypto
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
    /// Bytes of the file.
    var sizeBytes: Int
    /// The next chunk to embed; nil while the file is not cut into chunks.
    var nextChunk: Int?
    /// Chunks of the file, once it is cut.
    var chunkCount: Int
}

/// Which attachment of a tenant is indexed next.
struct IndexingOrder: Sendable {
    /// The smallest file instead of the oldest attachment.
    var smallestFirst: Bool
    /// Files above this many bytes are left alone until they are cut into chunks; nil: no file is.
    var largestToPrepare: Int?
}

/// A chunk as it was cut.
struct StoredChunk: Sendable {
    var id: Int64
    var text: String
    var headings: [String]
}

/// A chunk on its way to an embedding.
struct PendingChunk: Sendable {
    var id: Int64
    /// What the encoder gets.
    var input: String
    /// SHA-256 of `input`.
    var inputSHA256: Data
    /// The embedding, when the same input was embedded before.
    var embedding: [Float]?

    init(id: Int64, input: String) {
        self.id = id
        self.input = input
        inputSHA256 = Data(SHA256.hash(data: Array(input.utf8)))
    }
}

/// How far a job is after a batch.
enum IndexingProgress: Sendable, Equatable {
    case goesOn
    case completed(chunks: Int)
    /// The attachment has gone, or was given up.
    case unwanted
}

extension TenantStore {
    /// The next attachment in progress, apart from those in `excluded`.
    func nextJob(excluding excluded: Set<Int64>, order: IndexingOrder) async throws -> IndexingJob? {
        let rows = try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT attachment.*, file.size_bytes FROM attachment JOIN file ON file.id = attachment.file_id
                    WHERE status = 0 AND (next_chunk >= 0 OR size_bytes <= ?)
                    ORDER BY \(order.smallestFirst ? "size_bytes, attachment.seq" : "attachment.seq") LIMIT ?
                    """,
                arguments: [order.largestToPrepare ?? Int.max, excluded.count + 1]
            ).map(IndexingJob.init(row:))
        }
        return rows.first { !excluded.contains($0.sequence) }
    }

    /// False when the attachment is gone, so that its work can stop.
    func isWanted(_ job: IndexingJob) async throws -> Bool {
        try await read { db in try Self.isWanted(db, job) }
    }

    /// Writes down a job's chunks, to be embedded batch by batch. They are not searchable before the last of them is.
    ///
    /// - Parameter dimension: Components of an embedding; its place is kept free.
    /// - Returns: The job with its chunks, or nil when it is not wanted any more.
    func prepare(_ job: IndexingJob, _ chunks: [Chunker.Chunk], dimension: Int) async throws -> IndexingJob? {
        try await write { db in
            guard try Self.isWanted(db, job) else { return nil }
            try db.execute(sql: "DELETE FROM chunk WHERE attachment_seq = ?", arguments: [job.sequence])
            let insert = try db.makeStatement(
                sql: """
                    INSERT INTO chunk (attachment_seq, chunk_index, text, start_byte, end_byte, sha256, headings_json,
                        embedding)
                    VALUES (?, ?, ?, ?, ?, ?, ?, zeroblob(?))
                    """)
            var key = ContentKey()
            var usage = 0
            for (index, chunk) in chunks.enumerated() {
                let headings = chunk.headings.isEmpty ? "" : try JSONEncoder().encode(chunk.headings).text
                let sha256 = StoreIdentifier.sha256(chunk.text)
                try insert.execute(arguments: [
                    job.sequence, index, chunk.text, chunk.range.lowerBound, chunk.range.upperBound, sha256, headings,
                    dimension * 4,
                ])
                key.add(
                    textSHA256: sha256, start: chunk.range.lowerBound, end: chunk.range.upperBound,
                    headingsJSON: headings)
                usage += chunk.text.utf8.count + dimension * 4
            }
            try db.execute(
                sql: """
                    UPDATE attachment SET next_chunk = 0, chunk_count = ?, usage_bytes = ?, content_key = ?
                    WHERE seq = ?
                    """, arguments: [chunks.count, usage, key.finish(), job.sequence])
            var prepared = job
            prepared.nextChunk = 0
            prepared.chunkCount = chunks.count
            return prepared
        }
    }

    /// The next chunks of a job.
    func nextChunks(_ job: IndexingJob, limit: Int) async throws -> [StoredChunk] {
        let start = job.nextChunk ?? 0
        return try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT id, text, headings_json FROM chunk
                    WHERE attachment_seq = ? AND chunk_index >= ? AND chunk_index < ? ORDER BY chunk_index
                    """, arguments: [job.sequence, start, start + limit]
            ).map { row in
                StoredChunk(
                    id: row["id"], text: row["text"], headings: try Headings.decode(row["headings_json"]))
            }
        }
    }

    /// Fills in the embeddings that are known already: of copies, and of what a new version of a document took over
    /// from the one before.
    func fillKnown(_ chunks: [PendingChunk]) async throws -> [PendingChunk] {
        try await read { db in
            let known = try db.makeStatement(sql: "SELECT embedding FROM chunk WHERE input_sha256 = ? LIMIT 1")
            return try chunks.map { chunk in
                var chunk = chunk
                chunk.embedding = try Data.fetchOne(known, arguments: [chunk.inputSHA256]).map(EmbeddingBlob.decode)
                return chunk
            }
        }
    }

    /// Writes down embeddings, in the chunks' order, and with the last of them makes the file searchable in place of
    /// the version before: one transaction, so a search sees either. A crash leaves a job that goes on where it was.
    func store(_ job: IndexingJob, _ chunks: [PendingChunk]) async throws -> IndexingProgress {
        let (progress, forgotten) = try await write { db -> (IndexingProgress, [String]) in
            guard try Self.isWanted(db, job) else { return (.unwanted, []) }
            let update = try db.makeStatement(
                sql: "UPDATE chunk SET embedding = ?, input_sha256 = ? WHERE id = ? AND attachment_seq = ?")
            for chunk in chunks {
                try update.execute(arguments: [
                    EmbeddingBlob.encode(chunk.embedding ?? []), chunk.inputSHA256, chunk.id, job.sequence,
                ])
            }
            let next = (job.nextChunk ?? 0) + chunks.count
            try db.execute(
                sql: "UPDATE attachment SET next_chunk = ? WHERE seq = ?", arguments: [next, job.sequence])
            guard next >= job.chunkCount else { return (.goesOn, []) }
            return (.completed(chunks: job.chunkCount), try self.complete(db, job))
        }
        forgotten.forEach(content.remove)
        return progress
    }

    /// Makes a job's chunks searchable and takes the versions of its document before it away.
    ///
    /// - Returns: The files that went along.
    private func complete(_ db: Database, _ job: IndexingJob) throws -> [String] {
        try db.execute(
            sql: "UPDATE attachment SET status = 1, error_code = '', error_message = '' WHERE seq = ?",
            arguments: [job.sequence])
        let document = try String.fetchOne(
            db, sql: "SELECT document_id FROM attachment WHERE seq = ?", arguments: [job.sequence])
        var forgotten: [String] = []
        if let document, !document.isEmpty {
            forgotten = try Self.removeAttachments(
                db, where: "vector_store_id = ? AND document_id = ? AND seq < ?",
                [job.vectorStoreID, document, job.sequence])
        }
        try bumpVersion(db, job.vectorStoreID)
        return forgotten
    }

    /// Marks a job as failed. Without effect when the attachment is gone.
    func fail(_ job: IndexingJob, code: String, message: String) async throws {
        try await write { db in
            guard try Self.isWanted(db, job) else { return }
            try db.execute(sql: "DELETE FROM chunk WHERE attachment_seq = ?", arguments: [job.sequence])
            try db.execute(
                sql: """
                    UPDATE attachment SET status = 2, error_code = ?, error_message = ?, chunk_count = 0,
                        usage_bytes = 0, next_chunk = -1, content_key = '' WHERE seq = ?
                    """, arguments: [code, message, job.sequence])
        }
    }

    private static func isWanted(_ db: Database, _ job: IndexingJob) throws -> Bool {
        try Int.fetchOne(db, sql: "SELECT status FROM attachment WHERE seq = ?", arguments: [job.sequence])
            == AttachmentRecord.Status.inProgress.rawValue
    }
}

extension IndexingJob {
    init(row: Row) {
        let next: Int = row["next_chunk"]
        self.init(
            sequence: row["seq"], vectorStoreID: row["vector_store_id"], fileID: row["file_id"],
            maxChunkTokens: row["max_chunk_tokens"], overlapTokens: row["overlap_tokens"],
            sizeBytes: row["size_bytes"], nextChunk: next < 0 ? nil : next, chunkCount: row["chunk_count"])
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
