/// A histogram at one moment. `counts` are per bucket (not cumulative over buckets) and one longer than `bounds`.
package struct HistogramSnapshot: Sendable, Equatable {
    /// Ascending upper bounds, inclusive.
    package var bounds: [Double]
    /// Observations per bucket; the last bucket has no upper bound.
    package var counts: [UInt64]
    /// Sum of all observations.
    package var sum: Double

    package init(bounds: [Double], counts: [UInt64], sum: Double) {
        self.bounds = bounds
        self.counts = counts
        self.sum = sum
    }

    /// Number of observations. Wraps never in practice: 2^64 observations take longer than any process lives.
    package var count: UInt64 {
        counts.reduce(0, &+)
    }

    /// The value below which the fraction `quantile` of the observations lies, by linear interpolation inside its
    /// bucket, as Prometheus' `histogram_quantile` does. Observations above the last bound count as that bound.
    ///
    /// - Parameter quantile: in 0...1; values outside are clamped.
    /// - Returns: nil when nothing was observed.
    package func quantile(_ quantile: Double) -> Double? {
        let total = count
        guard total > 0, let last = bounds.last else { return nil }
        let rank = min(max(quantile, 0), 1) * Double(total)
        var below = 0.0
        for (index, bucketCount) in counts.enumerated() where bucketCount > 0 {
            let upTo = below + Double(bucketCount)
            if upTo >= rank {
                guard index < bounds.count else { return last }
                let upper = bounds[index]
                let lower = index == 0 ? min(0, upper) : bounds[index - 1]
                return lower + (upper - lower) * max(0, rank - below) / Double(bucketCount)
            }
            below = upTo
        }
        return last
    }

    /// What was observed after `earlier` and up to this snapshot. When the process restarted in between (a count went
    /// down) or the bounds changed, everything in this snapshot is newer than `earlier`.
    package func since(_ earlier: HistogramSnapshot?) -> HistogramSnapshot {
        guard let earlier, earlier.bounds == bounds, earlier.counts.count == counts.count,
            zip(earlier.counts, counts).allSatisfy(<=)
        else { return self }
        return HistogramSnapshot(
            bounds: bounds, counts: zip(counts, earlier.counts).map { $0 - $1 }, sum: sum - earlier.sum)
    }

    /// The observations of both. Nil when the bounds differ, because such buckets cannot be added.
    package func merged(with other: HistogramSnapshot) -> HistogramSnapshot? {
        guard bounds == other.bounds, counts.count == other.counts.count else { return nil }
        return HistogramSnapshot(
            bounds: bounds, counts: zip(counts, other.counts).map { $0 &+ $1 }, sum: sum + other.sum)
    }
}
