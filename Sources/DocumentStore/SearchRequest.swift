/// A search over vector stores of one tenant.
package struct SearchRequest: Sendable {
    /// How chunks are found and what a score means. It is always 0...1, greater is closer, and means the same from one
    /// question to the next: see `RelevanceScore`.
    package enum Mode: Sendable, CaseIterable {
        /// By vectors and by words; the score is the weighted mean of the other two.
        case hybrid
        /// By vectors; the score is the cosine, negative ones left out.
        case vector
        /// By words (BM25); the score is the share of what the question's words weigh that the chunk has.
        case lexical
    }

    /// 1...16 ids.
    package var vectorStoreIDs: [String]
    /// 1...8 texts of 1...4,096 bytes. A chunk found by several keeps its best score.
    package var queries: [String]
    /// 1...50.
    package var maxResults: Int
    /// Results below this score are left out, 0...1.
    package var scoreThreshold: Double
    package var mode: Mode

    package init(
        vectorStoreIDs: [String], queries: [String], maxResults: Int = 10, scoreThreshold: Double = 0,
        mode: Mode = .hybrid
    ) {
        self.vectorStoreIDs = vectorStoreIDs
        self.queries = queries
        self.maxResults = maxResults
        self.scoreThreshold = scoreThreshold
        self.mode = mode
    }

    func validate() throws {
        func require(_ condition: Bool, _ message: String) throws {
            if !condition { throw StoreError(code: .invalidArgument, message: message) }
        }
        try require(
            (1...16).contains(vectorStoreIDs.count), "expected 1...16 vector stores, got \(vectorStoreIDs.count)")
        try require((1...8).contains(queries.count), "expected 1...8 queries, got \(queries.count)")
        for query in queries {
            try require(
                (1...4096).contains(query.utf8.count), "a query must have 1...4096 bytes, got \(query.utf8.count)")
        }
        try require((1...50).contains(maxResults), "max results must be 1...50, got \(maxResults)")
        try require((0...1).contains(scoreThreshold), "the score threshold must be 0...1, got \(scoreThreshold)")
    }
}

/// A chunk that a search found.
package struct SearchHit: Sendable, Equatable {
    package var fileID: String
    package var filename: String
    package var vectorStoreID: String
    /// 0...1, greater is closer.
    package var score: Double
    package var text: String
    /// 0 is the file's first chunk.
    package var chunkIndex: Int
    /// Byte range in the file's extracted text.
    package var range: Range<Int>
    /// SHA-256 of `text`, hex.
    package var sha256: String
    /// JSON object, or empty.
    package var attributesJSON: String
    /// Titles above the chunk, outermost first.
    package var headings: [String]
}
