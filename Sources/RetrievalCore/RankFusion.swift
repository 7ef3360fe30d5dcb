/// Reciprocal rank fusion: one ranking out of several that have no common scale. It ignores how far apart scores are, so the
/// store ranks by `RelevanceScore`; this is what `fathom bench retrieval` compares it with.
///
/// rrf(d) = Σ over the rankings of 1 / (k + rank of d), ranks from 1 (Cormack, Clarke & Büttcher, SIGIR 2009).
package enum RankFusion {
    /// The constant of the paper.
    package static let defaultK = 60.0

    /// An entry of the fused ranking.
    package struct Fused<ID: Hashable & Sendable>: Sendable {
        package var id: ID
        /// 0...1: the sum divided by the greatest sum possible, which an entry has that is first everywhere.
        package var score: Double
    }

    /// Fuses `rankings`, each best first and without repetitions. The result is best first; equal scores keep the order
    /// in which the entries first appear, going through the rankings rank by rank.
    package static func fuse<ID: Hashable & Sendable>(_ rankings: [[ID]], k: Double = defaultK) -> [Fused<ID>] {
        guard !rankings.isEmpty else { return [] }
        var order: [ID] = []
        var sums: [ID: Double] = [:]
        for rank in 0..<(rankings.map(\.count).max() ?? 0) {
            for ranking in rankings where rank < ranking.count {
                let id = ranking[rank]
                if sums[id] == nil { order.append(id) }
                sums[id, default: 0] += 1 / (k + Double(rank + 1))
            }
        }
        let greatest = Double(rankings.count) / (k + 1)
        let fused = order.map { Fused(id: $0, score: min(1, (sums[$0] ?? 0) / greatest)) }
        return fused.enumerated()
            .sorted {
                $0.element.score != $1.element.score ? $0.element.score > $1.element.score : $0.offset < $1.offset
            }
            .map(\.element)
    }
}
