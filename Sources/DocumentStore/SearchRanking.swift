import RetrievalCore

/// Turns the candidates of several vector stores and queries into one ranking. Pure.
enum SearchRanking {
    /// Where BM25's open scale is halved; see `SearchRequest.Mode.lexical`.
    static let lexicalHalfScore = 4.0

    /// Scored chunk ids, best first. Equal scores keep the order within the query that gave them, so that in a tie of
    /// the two fused rankings the nearer vector goes first.
    ///
    /// - Parameter candidates: By query, then by vector store.
    static func rank(
        _ candidates: [[SearchPartition.Candidates]], mode: SearchRequest.Mode
    ) -> [(id: Int64, score: Double)] {
        var best: [Int64: (score: Double, position: Int)] = [:]
        for stores in candidates {
            for (position, (id, score)) in rank(oneQuery: stores, mode: mode).enumerated()
            where score > best[id]?.score ?? 0 {
                best[id] = (score, position)
            }
        }
        let order = best.sorted { a, b in
            if a.value.score != b.value.score { return a.value.score > b.value.score }
            return a.value.position != b.value.position ? a.value.position < b.value.position : a.key < b.key
        }
        return order.map { ($0.key, $0.value.score) }
    }

    private static func rank(
        oneQuery stores: [SearchPartition.Candidates], mode: SearchRequest.Mode
    ) -> [(id: Int64, score: Double)] {
        // Cosines of two stores can be compared as they are; BM25 scores of two stores differ in their idf, which is a
        // fair approximation among collections of one tenant.
        let byVector = sorted(stores.flatMap(\.byVector).filter { $0.score > 0 })
        let byTerms = sorted(stores.flatMap(\.byTerms))
        switch mode {
        case .vector: return byVector.map { ($0.id, min(1, $0.score)) }
        case .lexical: return byTerms.map { ($0.id, $0.score / ($0.score + lexicalHalfScore)) }
        case .hybrid: return RankFusion.fuse([byVector.map(\.id), byTerms.map(\.id)]).map { ($0.id, $0.score) }
        }
    }

    private static func sorted(_ scored: [(id: Int64, score: Double)]) -> [(id: Int64, score: Double)] {
        scored.sorted { $0.score != $1.score ? $0.score > $1.score : $0.id < $1.id }
    }
}
