import Synchronization
import WireProtocols

/// All metrics of one process. Handles are made once, at start, and kept by the component that records; asking again
/// for the same name and labels gives the same handle.
///
/// Dimensions are fixed and few (rule: no tenant, no request id as a label). Each metric holds at most
/// ``maxSeriesPerMetric`` label combinations; more are counted, not kept, so a mistake cannot fill the memory.
package final class MetricsRegistry: Sendable {
    /// Label combinations kept per metric name.
    package static let maxSeriesPerMetric = 256

    private enum Handle {
        case counter(Counter)
        case gauge(Gauge)
        case histogram(Histogram)
        case computedCounter(@Sendable () -> Double)
        case computedGauge(@Sendable () -> Double)
    }

    private struct Series {
        let labels: [MetricSample.Label]
        let handle: Handle
    }

    private struct Family {
        let help: String
        var series: [Series] = []
        var indices: [[MetricSample.Label]: Int] = [:]
    }

    private struct State {
        var order: [String] = []
        var families: [String: Family] = [:]
        var droppedSeries = 0
    }

    private let state = Mutex(State())

    /// An empty registry; ``ServiceProcess`` adds the process metrics.
    package init() {}

    /// A counter. Its name ends in `_total` by Prometheus' convention.
    package func counter(_ name: String, help: String, labels: [(String, String)] = []) -> Counter {
        let handle = register(name, help, labels) { .counter(Counter()) }
        guard case .counter(let counter) = handle else { mismatch(name, "counter") }
        return counter
    }

    /// A gauge that its owner sets.
    package func gauge(_ name: String, help: String, labels: [(String, String)] = []) -> Gauge {
        let handle = register(name, help, labels) { .gauge(Gauge()) }
        guard case .gauge(let gauge) = handle else { mismatch(name, "gauge") }
        return gauge
    }

    /// A histogram. Asked again for the same series, the bounds of the first call stay.
    package func histogram(
        _ name: String, help: String, bounds: [Double] = Histogram.latencyBounds, labels: [(String, String)] = []
    ) -> Histogram {
        let handle = register(name, help, labels) { .histogram(Histogram(bounds: bounds)) }
        guard case .histogram(let histogram) = handle else { mismatch(name, "histogram") }
        return histogram
    }

    /// A gauge whose value is asked for at each snapshot, outside the registry's lock. `computed` must not block.
    package func gauge(
        _ name: String, help: String, labels: [(String, String)] = [], computed: @escaping @Sendable () -> Double
    ) {
        _ = register(name, help, labels) { .computedGauge(computed) }
    }

    /// A counter whose value is asked for at each snapshot, outside the registry's lock. It must never go down and
    /// `computed` must not block.
    package func counter(
        _ name: String, help: String, labels: [(String, String)] = [], computed: @escaping @Sendable () -> Double
    ) {
        _ = register(name, help, labels) { .computedCounter(computed) }
    }

    /// Every series now, grouped by metric in the order of registration.
    package func samples() -> [MetricSample] {
        let (families, dropped) = state.withLock { state in
            (state.order.compactMap { name in state.families[name].map { (name, $0) } }, state.droppedSeries)
        }
        var samples: [MetricSample] = []
        for (name, family) in families {
            for series in family.series {
                let value: MetricSample.Value =
                    switch series.handle {
                    case .counter(let counter): .counter(counter.value)
                    case .gauge(let gauge): .gauge(gauge.value)
                    case .histogram(let histogram): .histogram(histogram.snapshot)
                    case .computedCounter(let computed): .counter(computed())
                    case .computedGauge(let computed): .gauge(computed())
                    }
                samples.append(MetricSample(name: name, help: family.help, labels: series.labels, value: value))
            }
        }
        if dropped > 0 {
            samples.append(
                MetricSample(
                    name: "fathom_metrics_dropped_series_total",
                    help: "Label combinations refused because a metric had too many.",
                    value: .counter(Double(dropped))))
        }
        return samples
    }

    /// Prometheus text exposition format 0.0.4.
    package func prometheusText() -> String {
        PrometheusText.render(samples())
    }

    /// What the monitor is sent.
    package func snapshot() -> Fathom_Monitor_V1_MetricsSnapshot {
        var snapshot = Fathom_Monitor_V1_MetricsSnapshot()
        snapshot.metrics = samples().map { $0.proto() }
        return snapshot
    }

    private func register(
        _ name: String, _ help: String, _ labels: [(String, String)], make: () -> Handle
    ) -> Handle {
        precondition(PrometheusText.isMetricName(name), "not a Prometheus metric name: \(name)")
        precondition(
            labels.allSatisfy { PrometheusText.isLabelName($0.0) }, "not Prometheus label names: \(labels.map(\.0))")
        let labels = labels.map { MetricSample.Label($0.0, $0.1) }
        return state.withLock { state in
            if state.families[name] == nil {
                state.families[name] = Family(help: help)
                state.order.append(name)
            }
            if let family = state.families[name], let index = family.indices[labels] {
                return family.series[index].handle
            }
            let handle = make()
            guard let count = state.families[name]?.series.count, count < Self.maxSeriesPerMetric else {
                // The caller gets a working handle that nobody reads: recording stays safe, memory stays bounded.
                state.droppedSeries += 1
                return handle
            }
            state.families[name]?.indices[labels] = count
            state.families[name]?.series.append(Series(labels: labels, handle: handle))
            return handle
        }
    }

    private func mismatch(_ name: String, _ kind: String) -> Never {
        preconditionFailure("metric \(name) was registered before as something else than a \(kind)")
    }
}
