import GRDB
import RetrievalCore

extension DocumentStore {
    /// Searches vector stores of a tenant; results are sorted by score, greatest first.
    ///
    /// A file that is in several of the stores gives each of its chunks once.
    ///
    /// - Throws: `invalidArgument`, `notFound`, `limitExceeded` when too many searches are under way.
    package func search(tenant: String, _ request: SearchRequest) async throws -> [SearchHit] {
        try request.validate()
        guard let tenantStore = try await existingTenant(tenant) else {
            throw StoreError.noSuchVectorStore(request.vectorStoreIDs[0])
        }
        let stores = try await tenantStore.read { db in
            try request.vectorStoreIDs.map { try TenantStore.vectorStore(db, $0) }
        }
        try enterSearch()
        defer { leaveSearch() }
        let embeddings = request.mode == .lexical ? [] : try await embedder.embed(request.queries, isBackground: false)
        // Deeper than asked for: the best by both measures need not be among the first by either, and duplicates fall away.
        let depth = max(50, request.maxResults * 4)
        let embedder = embedder
        let rankings = try await BlockingWork.run {
            let queries = request.queries.enumerated().map { index, text in
                SearchPartition.Query(
                    terms: request.mode == .vector ? [] : WordTokenizer.searchTerms(text),
                    embedding: embeddings.isEmpty ? nil : embeddings[index])
            }
            return try Set(request.vectorStoreIDs).sorted().flatMap { id in
                try self.partition(id, of: tenantStore).rank(queries, isRead: embedder.reads, depth: depth)
            }
        }
        let ranked = SearchRanking.merge(rankings).filter { $0.score >= request.scoreThreshold }
        let hits = try await tenantStore.hits(ranked, limit: request.maxResults)
        try await tenantStore.touch(stores)
        return hits
    }
}

extension TenantStore {
    /// Reads ranked chunks until `limit` different ones are found. Those deleted in the meantime are passed over.
    func hits(_ ranked: [RankedChunk], limit: Int) async throws -> [SearchHit] {
        try await read { db in
            let statement = try db.makeStatement(
                sql: """
                    SELECT chunk.*, attachment.vector_store_id, attachment.file_id, attachment.attributes_json,
                        file.filename
                    FROM chunk JOIN attachment ON attachment.seq = chunk.attachment_seq
                        JOIN file ON file.id = attachment.file_id
                    WHERE chunk.id = ?
                    """)
            var hits: [SearchHit] = []
            var seen: Set<[String]> = []
            for chunk in ranked where hits.count < limit {
                guard let row = try Row.fetchOne(statement, arguments: [chunk.id]) else { continue }
                let hit = try SearchHit(row: row, score: chunk.score)
                let identity = [hit.fileID, "\(hit.range)"]
                if seen.insert(identity).inserted { hits.append(hit) }
            }
            return hits
        }
    }

    /// Notes that vector stores are in use, at most once a minute.
    func touch(_ stores: [VectorStoreRecord]) async throws {
        let moment = now()
        let stale = stores.filter { $0.lastActiveAt + 60 <= moment }.map(\.id)
        guard !stale.isEmpty else { return }
        try await write { db in
            for id in stale {
                try db.execute(sql: "UPDATE vector_store SET last_active_at = ? WHERE id = ?", arguments: [moment, id])
            }
        }
    }
}

extension SearchHit {
    init(row: Row, score: Double) throws {
        let start: Int = row["start_byte"]
        let end: Int = row["end_byte"]
        self.init(
            fileID: row["file_id"], filename: row["filename"], vectorStoreID: row["vector_store_id"], score: score,
            text: row["text"], chunkIndex: row["chunk_index"], range: start..<max(start, end), sha256: row["sha256"],
            attributesJSON: row["attributes_json"], headings: try Headings.decode(row["headings_json"]))
    }
}
