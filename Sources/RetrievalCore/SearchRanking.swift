import VectorIndex

/// Ranks the chunks of one vector store for a question, and merges such rankings. Pure.
package enum SearchRanking {
    /// The best chunks of one collection, in order.
    ///
    /// - Parameters:
    ///   - terms: The question's terms; empty when only vectors count.
    ///   - embedding: The question's embedding; nil when only terms count.
    ///   - isRead: Whether the encoder has a word as a token of its own.
    ///   - depth: Candidates taken from either index. Each is then scored by both, whichever index it came from.
    package static func rank(
        terms: [SearchTerm], embedding: [Float]?, in index: BM25Index, _ vectors: FlatVectorIndex,
        isRead: (String) -> Bool, depth: Int
    ) throws -> [RankedChunk] {
        let nearest = try embedding.map { try vectors.search($0, limit: depth) } ?? []
        let answer = index.answer(
            terms, limit: terms.isEmpty ? 0 : depth, others: nearest.map(\.id), isRead: isRead)
        var cosines = Dictionary(uniqueKeysWithValues: nearest.map { ($0.id, Double($0.score)) })
        var scores = answer.scores
        for hit in answer.hits { scores[hit.id] = hit.score }
        if let embedding {
            let missing = answer.hits.map(\.id).filter { cosines[$0] == nil }
            for (id, cosine) in zip(missing, try vectors.scores(embedding, of: missing)) {
                cosines[id] = cosine.map(Double.init)
            }
        }
        return Set(cosines.keys).union(scores.keys).map { id in
            let bm25 = scores[id] ?? 0
            let lexical = RelevanceScore.lexical(bm25: bm25, mass: answer.mass, k1: index.parameters.k1)
            let semantic = RelevanceScore.semantic(cosine: cosines[id] ?? 0)
            let score =
                if embedding == nil {
                    lexical
                } else if terms.isEmpty {
                    semantic
                } else {
                    RelevanceScore.hybrid(
                        semantic: semantic, lexical: lexical, decisiveness: answer.decisiveness)
                }
            return RankedChunk(id: id, score: score, lexicalShare: answer.mass > 0 ? bm25 / answer.mass : 0)
        }
        .filter { $0.score > 0 }
        .sorted(by: RankedChunk.precedes)
    }

    /// One ranking out of those of several questions and vector stores: a chunk keeps its best place.
    package static func merge(_ rankings: [[RankedChunk]]) -> [RankedChunk] {
        var best: [Int64: RankedChunk] = [:]
        for chunk in rankings.joined() {
            if let known = best[chunk.id], !RankedChunk.precedes(chunk, known) { continue }
            best[chunk.id] = chunk
        }
        return best.values.sorted(by: RankedChunk.precedes)
    }
}
