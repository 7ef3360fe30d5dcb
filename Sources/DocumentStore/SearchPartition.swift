import Foundation
import GRDB
import RetrievalCore
import Synchronization
import VectorIndex

/// The indexes of one vector store in memory: a flat vector index and an inverted index over the same chunks.
///
/// It is a cache of the database. Each search first compares the vector store's version with its own and, when they
/// differ, drops the attachments that are gone and reads those that are new; a completed attachment's chunks never
/// change. So no change needs to be announced, and what a search finds is never older than its start.
final class SearchPartition: Sendable {
    /// What to look for.
    struct Query: Sendable {
        /// Empty when only vectors count.
        var terms: [SearchTerm]
        /// Nil when only terms count.
        var embedding: [Float]?
    }

    private struct State {
        var version = -1
        /// Chunks by attachment.
        var attachments: [Int64: [Int64]] = [:]
        var vectors: FlatVectorIndex
        var terms = BM25Index()
    }

    private let vectorStoreID: String
    // Held during a synchronisation, so that two searches do not read the same chunks twice.
    private let state: Mutex<State>

    init(vectorStoreID: String, dimension: Int) {
        self.vectorStoreID = vectorStoreID
        state = Mutex(State(vectors: FlatVectorIndex(dimension: dimension)))
    }

    /// The chunks found for each query, best first: at most `depth` by each index. Blocks: call it off the cooperative
    /// pool.
    ///
    /// - Parameter database: That of the vector store's tenant, which may have been closed and opened since.
    /// - Throws: `notFound` when the vector store is gone; errors of the database.
    func rank(
        _ queries: [Query], isRead: (String) -> Bool, depth: Int, in database: DatabasePool
    ) throws -> [[RankedChunk]] {
        try state.withLock { state in
            try synchronise(&state, database)
            return try queries.map { query in
                try SearchRanking.rank(
                    terms: query.terms, embedding: query.embedding, in: state.terms, state.vectors, isRead: isRead,
                    depth: depth)
            }
        }
    }

    private func synchronise(_ state: inout State, _ database: DatabasePool) throws {
        try database.read { db in
            guard
                let version = try Int.fetchOne(
                    db, sql: "SELECT version FROM vector_store WHERE id = ?", arguments: [vectorStoreID])
            else { throw StoreError.noSuchVectorStore(vectorStoreID) }
            if version == state.version { return }
            // Of files that give the same chunks the one attached first stands for all, so that copies take one place.
            let current = try Int64.fetchSet(
                db,
                sql: """
                    SELECT MIN(seq) FROM attachment WHERE vector_store_id = ? AND status = 1
                    GROUP BY CASE content_key WHEN '' THEN CAST(seq AS TEXT) ELSE content_key END
                    """, arguments: [vectorStoreID])
            for (sequence, chunks) in state.attachments where !current.contains(sequence) {
                for chunk in chunks {
                    state.vectors.remove(id: chunk)
                    state.terms.remove(id: chunk)
                }
                state.attachments[sequence] = nil
            }
            for sequence in current.sorted() where state.attachments[sequence] == nil {
                state.attachments[sequence] = try load(db, sequence, &state)
            }
            state.version = version
        }
    }

    /// Reads an attachment's chunks into the indexes: their ids.
    private func load(_ db: Database, _ sequence: Int64, _ state: inout State) throws -> [Int64] {
        let rows = try Row.fetchCursor(
            db, sql: "SELECT id, text, headings_json, embedding FROM chunk WHERE attachment_seq = ? ORDER BY id",
            arguments: [sequence])
        var ids: [Int64] = []
        while let row = try rows.next() {
            let id: Int64 = row["id"]
            let text = IndexedText.make(text: row["text"], headings: try Headings.decode(row["headings_json"]))
            try state.vectors.add(id: id, vector: EmbeddingBlob.decode(row["embedding"]))
            state.terms.add(id: id, text: text)
            ids.append(id)
        }
        return ids
    }
}

/// Heading paths as stored: a JSON array, or nothing.
enum Headings {
    static func decode(_ json: String) throws -> [String] {
        json.isEmpty ? [] : try JSONDecoder().decode([String].self, from: Data(json.utf8))
    }
}
