/// One series of one metric at one moment: what a registry gives out and what the Prometheus text is made of.
package struct MetricSample: Sendable, Equatable {
    /// What was measured.
    package enum Value: Sendable, Equatable {
        /// Only grows while the process lives.
        case counter(Double)
        /// Goes up and down.
        case gauge(Double)
        /// Cumulative since the process started.
        case histogram(HistogramSnapshot)
    }

    /// One dimension of a metric.
    package struct Label: Sendable, Hashable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Prometheus name, `[a-zA-Z_:][a-zA-Z0-9_:]*`.
    package var name: String
    /// What it means, with the unit; for people.
    package var help: String
    /// In the order they are printed.
    package var labels: [Label]
    package var value: Value

    package init(name: String, help: String, labels: [Label] = [], value: Value) {
        self.name = name
        self.help = help
        self.labels = labels
        self.value = value
    }

    /// The value of the label, or nil.
    package func label(_ name: String) -> String? {
        labels.first { $0.name == name }?.value
    }
}

extension MetricSample.Value {
    /// "counter", "gauge" or "histogram", as in a TYPE line.
    package var kind: String {
        switch self {
        case .counter: "counter"
        case .gauge: "gauge"
        case .histogram: "histogram"
        }
    }

    /// The number of a counter or gauge; nil for a histogram.
    package var number: Double? {
        switch self {
        case .counter(let value), .gauge(let value): value
        case .histogram: nil
        }
    }
}
