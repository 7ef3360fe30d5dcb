import GRDB
import RetrievalCore

extension DocumentStore {
    /// Times that a search is done again because what it found was replaced before it was read.
    private static let maxRepeats = 8

    /// Searches vector stores of a tenant; results are sorted by score, greatest first.
    ///
    /// Chunks of the same text under the same headings are found once: copies of a file, also in other stores, take one
    /// place. A file that is replaced during the search is found in its old version or in its new one.
    ///
    /// - Throws: `invalidArgument`, `notFound`, `limitExceeded` when too many searches are under way.
    package func search(tenant: String, _ request: SearchRequest) async throws -> [SearchHit] {
        try request.validate()
        return try await withExistingTenant(
            tenant, missing: { throw StoreError.noSuchVectorStore(request.vectorStoreIDs[0]) }
        ) { try await search($0, request) }
    }

    private func search(_ tenant: TenantStore, _ request: SearchRequest) async throws -> [SearchHit] {
        let stores = try await tenant.read { db in
            try request.vectorStoreIDs.map { try TenantStore.vectorStore(db, $0) }
        }
        try enterSearch()
        defer { leaveSearch() }
        let embeddings = request.mode == .lexical ? [] : try await embedder.embed(request.queries, isBackground: false)
        var found = TenantStore.Found()
        for _ in 0...Self.maxRepeats {
            let ranked = try await rank(tenant, request, embeddings)
            found = try await tenant.hits(ranked, limit: request.maxResults)
            if !found.isStale { break }
        }
        // Only a note of use; a full disk must not keep anyone from finding something.
        try? await tenant.touch(stores)
        return found.hits
    }

    private func rank(
        _ tenant: TenantStore, _ request: SearchRequest, _ embeddings: [[Float]]
    ) async throws -> [RankedChunk] {
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
                try self.partition(id).rank(queries, isRead: embedder.reads, depth: depth, in: tenant.database)
            }
        }
        return SearchRanking.merge(rankings).filter { $0.score >= request.scoreThreshold }
    }
}

extension TenantStore {
    /// What ranked chunks turned out to be.
    struct Found: Sendable {
        var hits: [SearchHit] = []
        /// True when one of them is gone: the ranking is of before a change.
        var isStale = false
    }

    /// Reads ranked chunks until `limit` different ones are found. Those deleted in the meantime are passed over.
    func hits(_ ranked: [RankedChunk], limit: Int) async throws -> Found {
        try await read { db in
            let statement = try db.makeStatement(
                sql: """
                    SELECT chunk.*, attachment.vector_store_id, attachment.file_id, attachment.attributes_json,
                        file.filename
                    FROM chunk JOIN attachment ON attachment.seq = chunk.attachment_seq
                        JOIN file ON file.id = attachment.file_id
                    WHERE chunk.id = ?
                    """)
            var found = Found()
            var seen: Set<[String]> = []
            for chunk in ranked where found.hits.count < limit {
                guard let row = try Row.fetchOne(statement, arguments: [chunk.id]) else {
                    found.isStale = true
                    continue
                }
                let hit = try SearchHit(row: row, score: chunk.score)
                if seen.insert([hit.sha256] + hit.headings).inserted { found.hits.append(hit) }
            }
            return found
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
