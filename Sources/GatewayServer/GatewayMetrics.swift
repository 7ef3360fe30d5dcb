import ServiceSupport

/// The gateway's metrics; handles are made once, and labels are routes and statuses only.
package struct GatewayMetrics: Sendable {
    private let registry: MetricsRegistry
    let timeToFirstToken: Histogram
    let interToken: Histogram
    let cacheHits: Counter
    let cacheMisses: Counter
    let promptTokens: Counter
    let completionTokens: Counter
    let activeStreams: Gauge
    let ready: Gauge

    package init(_ registry: MetricsRegistry) {
        self.registry = registry
        timeToFirstToken = registry.histogram(
            "fathom_gateway_time_to_first_token_seconds",
            help: "Time from a request's arrival to its first generated token.")
        interToken = registry.histogram(
            "fathom_gateway_inter_token_seconds", help: "Time between two pieces of one answer.")
        cacheHits = registry.counter(
            "fathom_gateway_cache_hits_total", help: "Deterministic requests answered from the response cache.")
        cacheMisses = registry.counter(
            "fathom_gateway_cache_misses_total", help: "Deterministic requests the response cache did not hold.")
        promptTokens = registry.counter("fathom_gateway_prompt_tokens_total", help: "Prompt tokens of all requests.")
        completionTokens = registry.counter(
            "fathom_gateway_completion_tokens_total", help: "Generated tokens of all requests.")
        activeStreams = registry.gauge("fathom_gateway_streams_active", help: "Streamed answers being written.")
        ready = registry.gauge("fathom_gateway_ready", help: "1 while the gateway is ready, else 0.")
    }

    /// Counts a finished request. `route` is a route's pattern, never a path.
    func count(route: String, status: Int, duration: Duration) {
        registry.counter(
            "fathom_gateway_requests_total", help: "Requests by route and status.",
            labels: [("route", route), ("status", String(status))]
        ).increment()
        registry.histogram(
            "fathom_gateway_request_seconds", help: "Time from a request's arrival to the end of its answer.",
            labels: [("route", route)]
        ).record(duration.inSeconds)
    }

    /// Counts the tokens of a finished generation.
    func count(_ usage: Usage) {
        promptTokens.increment(by: usage.promptTokens)
        completionTokens.increment(by: usage.completionTokens)
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
