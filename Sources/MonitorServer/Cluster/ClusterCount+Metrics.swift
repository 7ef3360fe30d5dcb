import ServiceSupport
import WireProtocols

extension ClusterCount {
    /// Which events an increase of `sample` stands for.
    static func counted(by sample: MetricSample, of member: ClusterMember) -> [ClusterCount] {
        switch sample.name {
        // Every stage of a pipeline sees the same tokens; the head's count is the one that is shown.
        case "fathom_shard_generated_tokens_total": member.isHead ? [.generatedTokens] : []
        case "fathom_shard_prompt_tokens_total": member.isHead ? [.promptTokens] : []
        case "fathom_gateway_cache_hits_total": [.cacheHits]
        case "fathom_gateway_cache_misses_total": [.cacheMisses]
        case "fathom_gateway_requests_total" where isUserRequest(sample):
            sample.label("status")?.hasPrefix("5") == true ? [.requests, .errors] : [.requests]
        default: []
        }
    }

    /// False for the routes that only machines ask.
    static func isUserRequest(_ sample: MetricSample) -> Bool {
        let route = sample.label("route") ?? ""
        return !["/livez", "/readyz", "/readyz/gateway", "/health", "/metrics"].contains { route.hasSuffix($0) }
    }
}

extension ClusterMember {
    /// Used share of its KV cache, 0...1; nil for what has none.
    package var kvCacheUse: Double? {
        guard let used = total("fathom_shard_kv_blocks_used"), let all = total("fathom_shard_kv_blocks"), all > 0
        else { return nil }
        return min(max(used / all, 0), 1)
    }
}
