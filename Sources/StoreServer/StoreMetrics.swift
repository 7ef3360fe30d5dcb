import DocumentStore
import ServiceSupport

/// The store's metrics, made once.
struct StoreMetrics: Sendable {
    let searchSeconds: Histogram
    let embeddedTokens: Counter

    init(_ registry: MetricsRegistry) {
        searchSeconds = registry.histogram(
            "fathom_store_search_seconds", help: "Time of one search, embedding its queries included.",
            bounds: Histogram.latencyBounds)
        embeddedTokens = registry.counter(
            "fathom_store_embedded_tokens_total", help: "Tokens that went through the encoder.")
    }

    /// Adds the sizes that are read from the store when somebody asks.
    static func register(_ store: DocumentStore, in registry: MetricsRegistry) {
        registry.gauge("fathom_store_documents", help: "Files of all tenants.") { Double(store.totals.files) }
        registry.gauge("fathom_store_chunks", help: "Searchable chunks of all tenants.") { Double(store.totals.chunks) }
        registry.gauge("fathom_store_index_queue", help: "Attachments that wait for indexing or are being indexed.") {
            Double(store.totals.pending)
        }
    }
}
