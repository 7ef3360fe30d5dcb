import Engine
import ServiceSupport

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

    /// Registers what only the head knows, read from the engine's last snapshot.
    static func register(_ engine: InferenceEngine, in registry: MetricsRegistry) {
        func gauge(_ name: String, _ help: String, _ value: @escaping @Sendable (EngineStatus) -> Int) {
            registry.gauge(name, help: help, computed: { Double(value(engine.status)) })
        }
        func counter(_ name: String, _ help: String, _ value: @escaping @Sendable (EngineStatus) -> Int) {
            registry.counter(name, help: help, computed: { Double(value(engine.status)) })
        }
        counter("fathom_shard_generated_tokens_total", "Tokens sampled for requests.") { $0.generatedTokens }
        counter("fathom_shard_prompt_tokens_total", "Prompt tokens computed for requests.") { $0.promptTokens }
        counter("fathom_shard_preemptions_total", "Times a sequence gave its KV cache to an older one.") {
            $0.preemptions
        }
        gauge("fathom_shard_running_sequences", "Sequences that hold KV cache.") { $0.runningSequences }
        gauge("fathom_shard_waiting_sequences", "Sequences that wait for KV cache.") { $0.waitingSequences }
        gauge("fathom_shard_kv_blocks_used", "KV cache blocks in use.") { $0.kvBlocksUsed }
        gauge("fathom_shard_kv_blocks_total", "KV cache blocks.") { $0.kvBlocksTotal }
    }
}
