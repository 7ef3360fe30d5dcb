import ServiceSupport
import Synchronization

/// The gateway's metrics. Labels are routes, statuses, and models: only names of served models get here, never what a
/// client calls a model.
package struct GatewayMetrics: Sendable {
    /// What is counted for one model; made once for each and kept.
    struct Model: Sendable {
        let timeToFirstToken: Histogram
        let interToken: Histogram
        let cacheHits: Counter
        let cacheMisses: Counter
        let promptTokens: Counter
        let completionTokens: Counter

        fileprivate init(_ registry: MetricsRegistry, labels: [(String, String)]) {
            timeToFirstToken = registry.histogram(
                "fathom_gateway_time_to_first_token_seconds",
                help: "Time from a request's arrival to its first generated token.", labels: labels)
            interToken = registry.histogram(
                "fathom_gateway_inter_token_seconds", help: "Time between two pieces of one answer.", labels: labels)
            cacheHits = registry.counter(
                "fathom_gateway_cache_hits_total", help: "Deterministic requests answered from the response cache.",
                labels: labels)
            cacheMisses = registry.counter(
                "fathom_gateway_cache_misses_total", help: "Deterministic requests the response cache did not hold.",
                labels: labels)
            promptTokens = registry.counter(
                "fathom_gateway_prompt_tokens_total", help: "Prompt tokens of all requests.", labels: labels)
            completionTokens = registry.counter(
                "fathom_gateway_completion_tokens_total", help: "Generated tokens of all requests.", labels: labels)
        }
    }

    /// Most models with series of their own; later ones share those without a label.
    static let maximumModelCount = 64

    /// Handles by model; nil stands for requests without one.
    private final class Models: Sendable {
        let byName = Mutex<[String?: Model]>([:])
    }

    private let registry: MetricsRegistry
    private let models = Models()
    let activeStreams: Gauge
    let ready: Gauge
    let keyFileReadable: Gauge

    package init(_ registry: MetricsRegistry) {
        self.registry = registry
        activeStreams = registry.gauge("fathom_gateway_streams_active", help: "Streamed answers being written.")
        ready = registry.gauge("fathom_gateway_ready", help: "1 while the gateway is ready, else 0.")
        keyFileReadable = registry.gauge(
            "fathom_gateway_key_file_readable",
            help: "1 while the file of API keys can be read, 0 while keys made and revoked since do not count.")
        keyFileReadable.set(1)
    }

    /// The handles of a served model; of requests without a model when `name` is nil.
    func model(_ name: String?) -> Model {
        models.byName.withLock { byName in
            if let model = byName[name] { return model }
            let isLabelled = name.map { !$0.isEmpty } == true && byName.count < Self.maximumModelCount
            let model = Model(registry, labels: isLabelled ? name.map { [("model", $0)] } ?? [] : [])
            if isLabelled || name == nil { byName[name] = model }
            return model
        }
    }

    /// Counts a finished request. `route` is a route's pattern, never a path; `model` is the name of a served model.
    func count(route: String, status: Int, duration: Duration, model: String?) {
        let labels = [("route", route)] + (model.map { [("model", $0)] } ?? [])
        registry.counter(
            "fathom_gateway_requests_total", help: "Requests by route, model and status.",
            labels: labels + [("status", String(status))]
        ).increment()
        registry.histogram(
            "fathom_gateway_request_seconds", help: "Time from a request's arrival to the end of its answer.",
            labels: labels
        ).record(duration.inSeconds)
    }

    /// Counts a request that HTTP itself refuses and no route sees.
    func countRefused(status: Int) {
        count(route: "unmatched", status: status, duration: .zero, model: nil)
    }

    /// Counts the tokens of a finished generation.
    func count(_ usage: Usage, model name: String?) {
        let model = model(name)
        model.promptTokens.increment(by: usage.promptTokens)
        model.completionTokens.increment(by: usage.completionTokens)
    }

    func prometheusText() -> String { registry.prometheusText() }
}

extension Duration {
    /// In seconds, as metrics have it.
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) * 1e-18
    }
}
