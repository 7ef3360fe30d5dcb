import ServiceSupport
import Testing
import WireProtocols

struct MetricsRegistryTests {
    @Test("the text of a registry reads back as what was recorded")
    func roundTrip() throws {
        let registry = MetricsRegistry()
        registry.counter("fathom_test_requests_total", help: "Requests.", labels: [("route", "/a"), ("status", "200")])
            .increment(by: 3)
        registry.gauge("fathom_test_waiting", help: "Waiting.").set(2.5)
        registry.counter("fathom_test_requests_total", help: "Requests.", labels: [("route", "/b"), ("status", "500")])
            .increment()
        let histogram = registry.histogram("fathom_test_seconds", help: "Time.", bounds: [0.1, 1])
        for value in [0.05, 0.1, 0.5, 7] { histogram.record(value) }

        let parsed = try PrometheusParser(registry.prometheusText())
        #expect(parsed.types["fathom_test_requests_total"] == "counter")
        #expect(parsed.types["fathom_test_waiting"] == "gauge")
        #expect(parsed.types["fathom_test_seconds"] == "histogram")
        #expect(parsed.value("fathom_test_requests_total", ["route": "/a", "status": "200"]) == 3)
        #expect(parsed.value("fathom_test_requests_total", ["route": "/b", "status": "500"]) == 1)
        #expect(parsed.value("fathom_test_waiting") == 2.5)
        #expect(parsed.value("fathom_test_seconds_bucket", ["le": "0.1"]) == 2)
        #expect(parsed.value("fathom_test_seconds_bucket", ["le": "1"]) == 3)
        #expect(parsed.value("fathom_test_seconds_bucket", ["le": "+Inf"]) == 4)
        #expect(parsed.value("fathom_test_seconds_count") == 4)
        #expect(abs((parsed.value("fathom_test_seconds_sum") ?? 0) - 7.65) < 1e-9)
    }

    @Test(
        "a hostile label value stays one value of one line",
        arguments: ["a\"b", "back\\slash", "line\nfeed", "\r\n", "\\n", "\"} 1\nevil 2", "", "ü€😀", "\u{2028}"])
    func hostileLabels(value: String) throws {
        let registry = MetricsRegistry()
        registry.counter("fathom_test_total", help: "Help with \\ and\nline feed.", labels: [("path", value)])
            .increment()
        let parsed = try PrometheusParser(registry.prometheusText())
        #expect(parsed.series == [.init(name: "fathom_test_total", labels: ["path": value], value: 1)])
        #expect(parsed.helps["fathom_test_total"] == "Help with \\\\ and\\nline feed.")
    }

    @Test("asking again for a series gives the same handle")
    func sameHandle() {
        let registry = MetricsRegistry()
        let first = registry.counter("fathom_test_total", help: "x", labels: [("a", "1")])
        let second = registry.counter("fathom_test_total", help: "x", labels: [("a", "1")])
        #expect(first === second)
        #expect(first !== registry.counter("fathom_test_total", help: "x", labels: [("a", "2")]))
    }

    @Test("series beyond the bound are counted, not kept")
    func boundedSeries() throws {
        let registry = MetricsRegistry()
        let bound = MetricsRegistry.maxSeriesPerMetric
        for index in 0..<(bound + 5) {
            registry.counter("fathom_test_total", help: "x", labels: [("i", "\(index)")]).increment()
        }
        let parsed = try PrometheusParser(registry.prometheusText())
        #expect(parsed.series.count { $0.name == "fathom_test_total" } == bound)
        #expect(parsed.value("fathom_metrics_dropped_series_total") == 5)
    }

    @Test("increments of many tasks add up")
    func concurrentIncrements() async {
        let registry = MetricsRegistry()
        let counter = registry.counter("fathom_test_total", help: "x")
        let histogram = registry.histogram("fathom_test_seconds", help: "x", bounds: [1])
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<1000 {
                        counter.increment()
                        histogram.record(0.5)
                    }
                }
            }
        }
        #expect(counter.value == 8000)
        #expect(histogram.snapshot.counts == [8000, 0])
        #expect(histogram.snapshot.sum == 4000)
    }

    @Test("a counter never goes down")
    func monotonicCounter() {
        let counter = MetricsRegistry().counter("fathom_test_total", help: "x")
        counter.increment(by: 2.0)
        counter.increment(by: -1.0)
        counter.increment(by: Double.nan)
        counter.increment(by: Double.infinity)
        #expect(counter.value == 2)
    }

    @Test("computed metrics are asked for at each rendering")
    func computed() throws {
        let registry = MetricsRegistry()
        let source = registry.counter("fathom_test_source_total", help: "x")
        registry.gauge("fathom_test_double", help: "x") { source.value * 2 }
        source.increment(by: 4)
        #expect(try PrometheusParser(registry.prometheusText()).value("fathom_test_double") == 8)
        source.increment(by: 1)
        #expect(try PrometheusParser(registry.prometheusText()).value("fathom_test_double") == 10)
    }

    @Test("the snapshot for the monitor carries the same samples")
    func snapshot() {
        let registry = MetricsRegistry()
        registry.counter("fathom_test_total", help: "h", labels: [("a", "b")]).increment(by: 2)
        registry.gauge("fathom_test_gauge", help: "g").set(-1)
        registry.histogram("fathom_test_seconds", help: "s", bounds: [1, 2]).record(1.5)
        #expect(registry.snapshot().metrics.compactMap { MetricSample(proto: $0) } == registry.samples())
        #expect(registry.samples().count == 3)
    }

    @Test("a malformed sample of another process is refused")
    func malformedProto() {
        var bad = Fathom_Monitor_V1_Metric()
        bad.name = "evil} 1\nx"
        bad.gauge = 1
        #expect(MetricSample(proto: bad) == nil)
        bad.name = "fine"
        #expect(MetricSample(proto: bad) != nil)
        bad.labels = [
            {
                var label = Fathom_Monitor_V1_Label(); label.name = "a=\"b"; return label
            }()
        ]
        #expect(MetricSample(proto: bad) == nil)
        bad.labels = []
        bad.histogram.bounds = [2, 1]
        bad.histogram.counts = [0, 0, 0]
        #expect(MetricSample(proto: bad) == nil)
        bad.histogram.bounds = [1, 2]
        bad.histogram.counts = [0, 0]
        #expect(MetricSample(proto: bad) == nil)
        bad.histogram.counts = [0, 0, 0]
        #expect(MetricSample(proto: bad) != nil)
    }

    @Test("samples of several processes share one HELP and TYPE, and contradictions are left out")
    func mergedFamilies() throws {
        let samples: [MetricSample] = [
            .init(name: "a_total", help: "first", labels: [.init("instance", "1")], value: .counter(1)),
            .init(name: "b", help: "b", value: .gauge(.nan)),
            .init(name: "a_total", help: "other", labels: [.init("instance", "2")], value: .counter(2)),
            .init(name: "a_total", help: "kind differs", labels: [.init("instance", "3")], value: .gauge(3)),
            .init(name: "a_total", help: "again", labels: [.init("instance", "1")], value: .counter(9)),
        ]
        let parsed = try PrometheusParser(PrometheusText.render(samples))
        #expect(parsed.helps["a_total"] == "first")
        #expect(parsed.series.count { $0.name == "a_total" } == 2)
        #expect(parsed.value("a_total", ["instance": "2"]) == 2)
        #expect(parsed.value("b")?.isNaN == true)
    }

    @Test(
        "numbers print so that they read back",
        arguments: [0, 1, -1, 0.1, 1e-9, 1e300, 123_456_789, 0.30000000000000004])
    func numbers(value: Double) {
        #expect(Double(PrometheusText.number(value)) == value)
    }
}
