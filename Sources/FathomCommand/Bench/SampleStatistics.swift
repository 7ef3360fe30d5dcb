/// Order statistics of measured values. Values are kept, so that raw samples can be printed.
package struct SampleStatistics: Sendable {
    package private(set) var values: [Double]

    package init(_ values: [Double] = []) {
        self.values = values
    }

    package mutating func add(_ value: Double) { values.append(value) }

    /// The value below which a share of the samples lies, by nearest rank; nil without samples.
    ///
    /// - Parameter share: 0...1.
    package func percentile(_ share: Double) -> Double? {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return nil }
        return sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }

    /// The middle value, or the mean of the middle two.
    package var median: Double? {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return nil }
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }
}

extension Duration {
    /// The duration as a number of seconds.
    var inSeconds: Double { self / .seconds(1) }
}
