/// A chunk that was found, and where it stands among others.
package struct RankedChunk: Sendable, Equatable {
    package var id: Int64
    /// 0...1, as `RelevanceScore` says.
    package var score: Double
    /// BM25 over what the question's terms weigh; decides between equal scores, which lexical ones that reach 1 are.
    package var lexicalShare: Double

    package init(id: Int64, score: Double, lexicalShare: Double) {
        self.id = id
        self.score = score
        self.lexicalShare = lexicalShare
    }

    /// The order of results: greater score, then more of the question's words, then the chunk that was stored first.
    package static func precedes(_ a: RankedChunk, _ b: RankedChunk) -> Bool {
        if a.score != b.score { return a.score > b.score }
        return a.lexicalShare != b.lexicalShare ? a.lexicalShare > b.lexicalShare : a.id < b.id
    }
}
