import ServiceSupport
import Testing

struct HistogramSnapshotTests {
    /// Deterministic pseudo-random numbers in 0..<1 (SplitMix64).
    private struct Generator {
        var state: UInt64

        mutating func next() -> Double {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return Double((z ^ (z >> 31)) >> 11) / Double(1 << 53)
        }
    }

    @Test(
        "a percentile lies in the bucket of the naive one", arguments: [1, 2, 7, 42], [0.0, 0.5, 0.9, 0.95, 0.99, 1])
    func againstSorting(seed: UInt64, quantile: Double) throws {
        var generator = Generator(state: seed)
        let histogram = MetricsRegistry().histogram("fathom_test_seconds", help: "x")
        // Squared, so that most values are small and the tail is long, like latencies.
        let values = (0..<2000).map { _ in 2 * generator.next() * generator.next() }
        values.forEach { histogram.record($0) }

        let estimate = try #require(histogram.snapshot.quantile(quantile))
        let rank = max(1, Int((quantile * 2000).rounded(.up)))
        let naive = values.sorted()[rank - 1]
        let upper = try #require(histogram.bounds.first { $0 >= naive })
        let lower = histogram.bounds.last { $0 < naive } ?? 0
        #expect(estimate >= lower - 1e-12 && estimate <= upper + 1e-12, "naive \(naive) in \(lower)...\(upper)")
    }

    @Test("inside a bucket the percentile is interpolated")
    func interpolation() {
        let snapshot = HistogramSnapshot(bounds: [1, 2, 4], counts: [0, 4, 4, 0], sum: 0)
        #expect(snapshot.quantile(0.25) == 1.5)
        #expect(snapshot.quantile(0.5) == 2)
        #expect(snapshot.quantile(0.75) == 3)
        #expect(snapshot.quantile(1) == 4)
    }

    @Test("nothing observed gives no percentile, the unbounded bucket gives the last bound")
    func edges() {
        #expect(HistogramSnapshot(bounds: [1], counts: [0, 0], sum: 0).quantile(0.5) == nil)
        #expect(HistogramSnapshot(bounds: [1, 3], counts: [0, 0, 5], sum: 50).quantile(0.5) == 3)
    }

    @Test("a difference leaves what is newer, and everything after a restart")
    func difference() {
        let old = HistogramSnapshot(bounds: [1, 2], counts: [5, 1, 0], sum: 6)
        let new = HistogramSnapshot(bounds: [1, 2], counts: [7, 1, 2], sum: 16)
        #expect(new.since(old) == HistogramSnapshot(bounds: [1, 2], counts: [2, 0, 2], sum: 10))
        #expect(new.since(nil) == new)
        let restarted = HistogramSnapshot(bounds: [1, 2], counts: [1, 0, 0], sum: 0.5)
        #expect(restarted.since(old) == restarted)
    }

    @Test("histograms merge only over equal bounds")
    func merge() {
        let one = HistogramSnapshot(bounds: [1], counts: [1, 2], sum: 3)
        #expect(one.merged(with: one) == HistogramSnapshot(bounds: [1], counts: [2, 4], sum: 6))
        #expect(one.merged(with: HistogramSnapshot(bounds: [2], counts: [1, 2], sum: 3)) == nil)
    }

    @Test("a value equal to a bound belongs to that bucket")
    func inclusiveBounds() {
        let histogram = MetricsRegistry().histogram("fathom_test_seconds", help: "x", bounds: [1, 2])
        for value in [1, 1.0000001, 2, 2.1, Double.nan, .infinity] { histogram.record(value) }
        #expect(histogram.snapshot.counts == [1, 2, 1])
    }
}
