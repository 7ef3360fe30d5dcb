/// What the score of a search means: one scale, 0...1, for every question and every collection.
///
/// Two absolute measures, and a weighted mean of them:
///
///     semantic = max(0, cosine)
///     lexical  = min(1, (k1 + 1) · BM25 / Σ idf)     the sum over the question's terms
///     hybrid   = w · semantic + (1 − w) · lexical
///
/// `lexical` is the share of what the question's words weigh that the chunk has: 1 for a chunk of average length with each
/// of them once, ½ when half of the weight is missing. A word that no chunk has counts as much as one that a single chunk
/// has, so a question about something else stays near 0.
///
/// The mean is that of Bruch, Gai & Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (ACM TOIS 42, 2023), who
/// find it better than reciprocal ranks and insensitive to how either side is scaled; both sides are scaled here by bounds
/// that do not depend on what was found. Their weight of the cosine, 0.8, is the greatest here. It shrinks as far as the
/// question has a rare term that the encoder cannot read (a code, a number it spells digit by digit, a name, a script it was
/// not trained on): such a term decides, and the cosine is left with the choice among those that have it.
///
///     w = 0.05 + (0.8 − 0.05) · (1 − decisiveness)     decisiveness: see `BM25Index.Answer`
package enum RelevanceScore {
    /// The cosine's weight when the encoder reads every word of the question.
    package static let greatestCosineWeight = 0.8
    /// And when a term decides.
    package static let leastCosineWeight = 0.05

    /// - Parameter cosine: -1...1.
    package static func semantic(cosine: Double) -> Double { min(1, max(0, cosine)) }

    /// - Parameters:
    ///   - bm25: The chunk's score.
    ///   - mass: Σ idf of the question's terms.
    ///   - k1: The index's parameter.
    package static func lexical(bm25: Double, mass: Double, k1: Double) -> Double {
        mass > 0 ? min(1, (k1 + 1) * bm25 / mass) : 0
    }

    /// - Parameter decisiveness: 0...1.
    package static func cosineWeight(decisiveness: Double) -> Double {
        leastCosineWeight + (greatestCosineWeight - leastCosineWeight) * (1 - decisiveness)
    }

    package static func hybrid(semantic: Double, lexical: Double, decisiveness: Double) -> Double {
        let weight = cosineWeight(decisiveness: decisiveness)
        return min(1, weight * semantic + (1 - weight) * lexical)
    }
}
