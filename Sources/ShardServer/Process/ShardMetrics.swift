import Engine
import ServiceSupport
import Synchronization

/// What a shard process counts; names are those of docs/metrics.
struct ShardMetrics: Sendable {
    private let stepSeconds: Histogram
    private let computeSeconds: Counter

    /// Registers what every stage has.
    init(_ registry: MetricsRegistry) {
        stepSeconds = registry.histogram(
            "fathom_shard_step_seconds",
            help: "Time from schedule to result of one step; on later stages, compute only.")
        computeSeconds = registry.counter(
            "fathom_shard_compute_seconds_total", help: "Time this stage spent in steps.")
    }

    /// Notes one step of a later stage.
    func record(stageStep step: StepMetrics) {
        stepSeconds.record(step.duration)
        computeSeconds.increment(by: step.duration / .seconds(1))
    }

    /// Notes one step of the head.
    func record(headStep step: StepMetrics) {
        stepSeconds.record(step.duration)
        computeSeconds.increment(by: step.computeDuration / .seconds(1))
    }
}

/// What only the head knows of its models, read from the engines' last snapshots. One series for each model of the
/// configuration, loaded or not; counts go on when a model is evicted and loaded again.
final class EngineMetrics: Sendable {
    private struct Series {
        let name: String
        let help: String
        let value: any KeyPath<EngineStatus, Int> & Sendable
    }

    private static let counters = [
        Series(
            name: "fathom_shard_generated_tokens_total", help: "Tokens sampled for requests.", value: \.generatedTokens),
        Series(
            name: "fathom_shard_prompt_tokens_total", help: "Prompt tokens computed for requests.",
            value: \.promptTokens),
        Series(
            name: "fathom_shard_preemptions_total", help: "Times a sequence gave its KV cache to an older one.",
            value: \.preemptions),
        Series(
            name: "fathom_shard_not_finite_sequences_total",
            help: "Requests that ended because their numbers were not finite.", value: \.notFiniteSequences),
        Series(
            name: "fathom_shard_requeued_sequences_total",
            help: "Times a request waited to be computed again because a link was lost.", value: \.requeuedSequences),
        Series(
            name: "fathom_shard_prefix_cache_query_tokens_total",
            help: "Tokens that could have come from the prefix cache.", value: \.prefixQueryTokens),
        Series(
            name: "fathom_shard_prefix_cache_hit_tokens_total", help: "Tokens that came from the prefix cache.",
            value: \.prefixHitTokens),
        Series(
            name: "fathom_shard_draft_tokens_total", help: "Tokens guessed by speculative decoding.",
            value: \.draftedTokens),
        Series(
            name: "fathom_shard_accepted_draft_tokens_total", help: "Guessed tokens that were right.",
            value: \.acceptedTokens),
    ]

    private static let gauges = [
        Series(
            name: "fathom_shard_running_sequences", help: "Sequences that hold KV cache.", value: \.runningSequences),
        Series(
            name: "fathom_shard_waiting_sequences", help: "Sequences that wait for KV cache.",
            value: \.waitingSequences),
        Series(name: "fathom_shard_kv_blocks_used", help: "KV cache blocks in use.", value: \.kvBlocksUsed),
        Series(name: "fathom_shard_kv_blocks", help: "KV cache blocks, used or not.", value: \.kvBlocksTotal),
        Series(
            name: "fathom_shard_kv_blocks_cached",
            help: "KV cache blocks whose content is known to the prefix cache.", value: \.kvBlocksCached),
    ]

    private struct Totals {
        /// Of engines that are gone.
        var retired: [Int]
        /// A counter never goes down, also while an engine is on its way out.
        var reported: [Int]
    }

    /// By model.
    private let totals: Mutex<[Totals]>

    private let models: [String]

    init(models: [String]) {
        self.models = models
        totals = Mutex(
            models.map { _ in
                Totals(
                    retired: Array(repeating: 0, count: Self.counters.count),
                    reported: Array(repeating: 0, count: Self.counters.count))
            })
    }

    /// Registers the series.
    ///
    /// - Parameter status: of a model's engine; nil while it is not loaded.
    func register(in registry: MetricsRegistry, status: @escaping @Sendable (Int) -> EngineStatus?) {
        for (model, name) in models.enumerated() {
            for (index, counter) in Self.counters.enumerated() {
                registry.counter(counter.name, help: counter.help, labels: [("model", name)]) { [self] in
                    let live = status(model)?[keyPath: counter.value] ?? 0
                    return totals.withLock { totals in
                        let total = max(totals[model].reported[index], totals[model].retired[index] + live)
                        totals[model].reported[index] = total
                        return Double(total)
                    }
                }
            }
            for gauge in Self.gauges {
                registry.gauge(gauge.name, help: gauge.help, labels: [("model", name)]) {
                    Double(status(model)?[keyPath: gauge.value] ?? 0)
                }
            }
        }
    }

    /// Keeps the counts of an engine that has ended.
    func retire(_ status: EngineStatus, of model: Int) {
        totals.withLock { totals in
            for (index, counter) in Self.counters.enumerated() {
                totals[model].retired[index] += status[keyPath: counter.value]
            }
        }
    }
}

/// What a process counts of loading and evicting.
struct PoolMetrics: Sendable {
    private let loadSeconds: Histogram
    private let evictions: [Counter]
    private let failures: [Counter]

    init(_ registry: MetricsRegistry, models: [String]) {
        loadSeconds = registry.histogram(
            "fathom_shard_model_load_seconds", help: "Time from the decision to load a model to its first token.")
        evictions = models.map { name in
            registry.counter(
                "fathom_shard_model_evictions_total", help: "Times a model's memory was given back.",
                labels: [("model", name)])
        }
        failures = models.map { name in
            registry.counter(
                "fathom_shard_model_load_failures_total", help: "Times a model could not be loaded.",
                labels: [("model", name)])
        }
    }

    /// Registers what is read from the pool itself.
    func observe<Model>(_ pool: ModelPool<Model>, budget: Int?, in registry: MetricsRegistry) {
        for (index, name) in pool.names.enumerated() {
            registry.gauge(
                "fathom_shard_model_loaded", help: "1 while a model is in memory and takes requests.",
                labels: [("model", name)]
            ) { pool.snapshot(of: index).phase == .ready ? 1 : 0 }
            registry.gauge(
                "fathom_shard_model_bytes", help: "What a model counts against the memory budget now.",
                labels: [("model", name)]
            ) {
                let snapshot = pool.snapshot(of: index)
                return snapshot.phase == .absent ? 0 : Double(snapshot.byteCount)
            }
        }
        registry.gauge("fathom_shard_memory_budget_bytes", help: "What models may take together; 0: no bound.") {
            Double(budget ?? 0)
        }
    }

    func record<Model>(_ event: ModelPool<Model>.Event) {
        switch event {
        case .loaded(_, let duration): loadSeconds.record(duration)
        case .failed(let index, _): failures[index].increment()
        case .evicted(let index, _): evictions[index].increment()
        }
    }
}
