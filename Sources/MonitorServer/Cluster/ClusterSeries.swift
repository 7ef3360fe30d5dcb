/// The series of the whole cluster that the page draws, by their names in `/api/history`.
package enum ClusterSeries: String, CaseIterable, Sendable {
    /// Generated tokens per second, all replica groups.
    case tokensPerSecond
    /// Prompt tokens processed per second.
    case promptTokensPerSecond
    /// Answered requests per second, all gateways, without health checks.
    case requestsPerSecond
    /// Requests answered with a status of 500 and above, per second.
    case errorsPerSecond
    /// Sequences that produce tokens.
    case running
    /// Sequences that wait for a place.
    case waiting
    /// Used share of the fullest KV cache, 0...1.
    case kvCacheUse
    /// Share of answers that came from the response cache, 0...1, last minute.
    case cacheHitRate
    case timeToFirstTokenP50, timeToFirstTokenP95, timeToFirstTokenP99
    case interTokenP50, interTokenP95, interTokenP99
    case requestP50, requestP95, requestP99
}

/// The latencies whose percentiles are shown, each the histogram of one metric over a sliding minute.
enum ClusterLatency: String, CaseIterable, Sendable {
    case timeToFirstToken = "fathom_gateway_time_to_first_token_seconds"
    case interToken = "fathom_gateway_inter_token_seconds"
    case request = "fathom_gateway_request_seconds"

    /// Columns for the 50th, 95th and 99th percentile, with their quantiles.
    var percentiles: [(series: ClusterSeries, quantile: Double)] {
        switch self {
        case .timeToFirstToken:
            [(.timeToFirstTokenP50, 0.5), (.timeToFirstTokenP95, 0.95), (.timeToFirstTokenP99, 0.99)]
        case .interToken: [(.interTokenP50, 0.5), (.interTokenP95, 0.95), (.interTokenP99, 0.99)]
        case .request: [(.requestP50, 0.5), (.requestP95, 0.95), (.requestP99, 0.99)]
        }
    }
}

/// The events that are counted over sliding windows, whatever process they come from.
enum ClusterCount: CaseIterable, Sendable {
    case generatedTokens, promptTokens, requests, errors, cacheHits, cacheMisses
}
