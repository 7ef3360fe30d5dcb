import WireProtocols

extension MetricSample {
    /// The wire form of the sample.
    package func proto() -> Fathom_Monitor_V1_Metric {
        var metric = Fathom_Monitor_V1_Metric()
        metric.name = name
        metric.help = help
        metric.labels = labels.map { label in
            var proto = Fathom_Monitor_V1_Label()
            proto.name = label.name
            proto.value = label.value
            return proto
        }
        switch value {
        case .counter(let number): metric.counter = number
        case .gauge(let number): metric.gauge = number
        case .histogram(let histogram):
            metric.histogram.bounds = histogram.bounds
            metric.histogram.counts = histogram.counts
            metric.histogram.sum = histogram.sum
        }
        return metric
    }

    /// A sample that another process sent, checked: nil when its name, a label's name or its histogram is malformed,
    /// because such a sample would break the exposition of everybody else's.
    package init?(proto: Fathom_Monitor_V1_Metric) {
        guard PrometheusText.isMetricName(proto.name), proto.labels.count <= 16,
            proto.labels.allSatisfy({ PrometheusText.isLabelName($0.name) })
        else { return nil }
        let value: Value
        switch proto.value {
        case .counter(let number): value = .counter(number)
        case .gauge(let number): value = .gauge(number)
        case .histogram(let histogram):
            guard (1...128).contains(histogram.bounds.count),
                histogram.counts.count == histogram.bounds.count + 1,
                zip(histogram.bounds, histogram.bounds.dropFirst()).allSatisfy(<),
                histogram.bounds.allSatisfy(\.isFinite)
            else { return nil }
            value = .histogram(
                HistogramSnapshot(bounds: histogram.bounds, counts: histogram.counts, sum: histogram.sum))
        case nil: return nil
        }
        self.init(
            name: proto.name, help: proto.help, labels: proto.labels.map { Label($0.name, $0.value) }, value: value)
    }
}
