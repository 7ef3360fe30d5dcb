import Encoder
import RetrievalCore
import VectorIndex

/// Measures how well search finds: by words alone, by vectors alone, by reciprocal ranks of the two, and as the store does it.
struct RetrievalBenchmark {
    /// Documents, one chunk each, and questions; `Benchmarks/retrieval/generate.py` writes such sets.
    struct Collection: Decodable, Sendable {
        struct Question: Decodable, Sendable {
            var text: String
            /// Index of the document that answers; negative when none does.
            var relevant: Int
        }

        var kind: String
        var documents: [String]
        var queries: [Question]
    }

    /// A way of ranking.
    enum Method: String, Encodable, CaseIterable, Sendable {
        case words, vectors, reciprocalRanks, fused
    }

    /// What a method did with a collection.
    struct Outcome: Encodable, Sendable {
        var kind: String
        var method: Method
        /// Questions with an answer.
        var questions: Int
        /// Share of them whose answer comes first.
        var recallAt1: Double
        /// Mean of 1 / place of the answer.
        var meanReciprocalRank: Double
        /// Median of the first hit's score, over all questions; 0 without a hit.
        var bestScore: Double
        /// Median time of a question, its embedding not included.
        var milliseconds: Double
    }

    /// Candidates of either index, as the store takes them for ten results.
    private static let depth = 50

    let encoder: SentenceEncoder

    func run(_ collection: Collection) async throws -> [Outcome] {
        var index = BM25Index()
        var vectors = FlatVectorIndex(dimension: encoder.dimension)
        let embedded = try await embed(collection.documents)
        for (id, text) in collection.documents.enumerated() {
            index.add(id: Int64(id), text: text)
            try vectors.add(id: Int64(id), vector: embedded[id])
        }
        let questions = try await embed(collection.queries.map(\.text))
        return try Method.allCases.map { method in
            var rankings: [[RankedChunk]] = []
            var times: [Double] = []
            for (question, embedding) in zip(collection.queries, questions) {
                let start = ContinuousClock.now
                rankings.append(try rank(question.text, embedding, method, index, vectors))
                times.append(start.duration(to: .now) / .milliseconds(1))
            }
            return outcome(collection, method, rankings, times)
        }
    }

    /// The collection many times over, for timing a search of a large one.
    static func enlarged(_ collection: Collection, to count: Int) -> Collection {
        var large = collection
        large.kind = "\(collection.kind), \(count) chunks"
        while large.documents.count < count, !collection.documents.isEmpty {
            let next = large.documents.count
            large.documents.append("\(collection.documents[next % collection.documents.count]) \(next)")
        }
        return large
    }

    private func embed(_ texts: [String]) async throws -> [[Float]] {
        var vectors: [[Float]] = []
        for start in stride(from: 0, to: texts.count, by: 256) {
            vectors += try await encoder.embed(Array(texts[start..<min(start + 256, texts.count)])).vectors
        }
        return vectors
    }

    private func rank(
        _ question: String, _ embedding: [Float], _ method: Method, _ index: BM25Index, _ vectors: FlatVectorIndex
    ) throws -> [RankedChunk] {
        let terms = WordTokenizer.searchTerms(question)
        func rank(_ terms: [SearchTerm], _ embedding: [Float]?) throws -> [RankedChunk] {
            try SearchRanking.rank(
                terms: terms, embedding: embedding, in: index, vectors, isRead: encoder.reads, depth: Self.depth)
        }
        switch method {
        case .words: return try rank(terms, nil)
        case .vectors: return try rank([], embedding)
        case .reciprocalRanks:
            return RankFusion.fuse([try rank([], embedding).map(\.id), try rank(terms, nil).map(\.id)])
                .map { RankedChunk(id: $0.id, score: $0.score, lexicalShare: 0) }
        case .fused: return try rank(terms, embedding)
        }
    }

    private func outcome(
        _ collection: Collection, _ method: Method, _ rankings: [[RankedChunk]], _ times: [Double]
    ) -> Outcome {
        var answered = 0
        var first = 0
        var reciprocal = 0.0
        for (question, ranking) in zip(collection.queries, rankings) where question.relevant >= 0 {
            answered += 1
            guard let place = ranking.firstIndex(where: { $0.id == question.relevant }) else { continue }
            if place == 0 { first += 1 }
            reciprocal += 1 / Double(place + 1)
        }
        let count = Double(max(1, answered))
        return Outcome(
            kind: collection.kind, method: method, questions: answered, recallAt1: Double(first) / count,
            meanReciprocalRank: reciprocal / count, bestScore: Self.median(rankings.map { $0.first?.score ?? 0 }),
            milliseconds: Self.median(times))
    }

    private static func median(_ values: [Double]) -> Double {
        values.isEmpty ? 0 : values.sorted()[values.count / 2]
    }
}
