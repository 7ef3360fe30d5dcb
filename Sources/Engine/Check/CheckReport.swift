/// What a check of one model found: differences of log-probabilities, in nats.
package struct CheckReport: Codable, Sendable {
    /// Differences over positions; of each position the largest among its candidates.
    package struct Spread: Codable, Sendable, Equatable {
        package let count: Int
        package let median: Double
        package let p90: Double
        package let max: Double

        /// Quantiles are interpolated between neighbours.
        package init(_ differences: [Double]) {
            let sorted = differences.sorted()
            func quantile(_ share: Double) -> Double {
                guard let last = sorted.indices.last else { return 0 }
                let place = share * Double(last)
                let low = Int(place)
                let high = Swift.min(low + 1, last)
                return sorted[low] + (sorted[high] - sorted[low]) * (place - Double(low))
            }
            count = sorted.count
            median = quantile(0.5)
            p90 = quantile(0.9)
            max = sorted.last ?? 0
        }
    }

    /// What is accepted; nil accepts any.
    package struct Tolerance: Codable, Sendable, Equatable {
        package var median: Double?
        package var p90: Double?
        package var max: Double?
        /// Whether all greedy tokens must be the expected ones.
        package var greedyMustAgree: Bool
        /// Where the figures come from, in words.
        package var source: String
        /// Positions whose router margin is below this are judged apart.
        package var routerMargin: Double
    }

    package let architecture: String
    /// All positions but those that are judged apart.
    package let positions: Spread
    /// Positions at which the router's choice of experts was a near tie: low precision may choose others.
    package let nearTies: Spread
    /// Greedy tokens, teacher-forced, that came out as expected, and all.
    package let greedyAgreeing: Int
    package let greedyCount: Int
    package let tolerance: Tolerance

    /// Whether everything is within the tolerance. Where all positions are near ties, they are what is judged.
    package var isWithinTolerance: Bool {
        func fits(_ value: Double, _ limit: Double?) -> Bool { limit.map { value <= $0 } ?? true }
        let judged = positions.count > 0 ? positions : nearTies
        return judged.count > 0 && fits(judged.median, tolerance.median) && fits(judged.p90, tolerance.p90)
            && fits(judged.max, tolerance.max) && (!tolerance.greedyMustAgree || greedyAgreeing == greedyCount)
    }
}
