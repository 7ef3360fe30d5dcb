import Synchronization

/// Counts observations in buckets with fixed upper bounds, for latencies above all. Callable from any thread; one
/// short critical section per observation keeps counts and sum of one snapshot consistent with each other.
package final class Histogram: Sendable {
    /// Upper bounds in seconds for latencies between half a millisecond and two minutes. Neighbours differ by at most
    /// a factor of two, so that a percentile read from the buckets is at worst that far off.
    package static let latencyBounds: [Double] = [
        0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5,
        0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 30, 60, 120,
    ]

    /// Ascending upper bounds, inclusive. What is above the last one falls into a final bucket without bound.
    package let bounds: [Double]

    private struct State {
        var counts: [UInt64]
        var sum: Double = 0
    }

    private let state: Mutex<State>

    init(bounds: [Double]) {
        precondition(!bounds.isEmpty && bounds.count <= 128, "a histogram has 1...128 bounds, got \(bounds.count)")
        precondition(zip(bounds, bounds.dropFirst()).allSatisfy(<), "histogram bounds must ascend, got \(bounds)")
        self.bounds = bounds
        state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    /// Counts one observation. Something that is not a finite number is ignored.
    package func record(_ value: Double) {
        guard value.isFinite else { return }
        let bucket = bucketIndex(of: value)
        state.withLock {
            $0.counts[bucket] += 1
            $0.sum += value
        }
    }

    /// Counts one duration, in seconds.
    package func record(_ duration: Duration) {
        record(duration.seconds)
    }

    /// What was counted since the process started.
    package var snapshot: HistogramSnapshot {
        state.withLock { HistogramSnapshot(bounds: bounds, counts: $0.counts, sum: $0.sum) }
    }

    /// The first bucket whose bound is not below `value`, by binary search.
    private func bucketIndex(of value: Double) -> Int {
        var low = 0
        var high = bounds.count
        while low < high {
            let middle = (low + high) / 2
            if bounds[middle] < value { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension Duration {
    /// The duration in seconds, fractions included.
    package var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
