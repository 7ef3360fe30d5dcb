import ArgumentParser
import ServiceSupport
import ShardServer

@main
struct ShardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fathom-shard",
        abstract:
            "Serves a layer range of a model, or of several. Stage 0 is the head: it takes requests, streams tokens.")

    @OptionGroup var common: CommonOptions

    @Option(
        help: "Model to serve, as MODEL or NAME=MODEL; MODEL is a path or an installed model. Repeat it for several.")
    var model: [String] = []

    @Option(name: .customLong("model-name"), help: "What clients call the only model (default: the file's folder).")
    var modelName: String?

    @Option(
        name: .customLong("memory-budget"), help: "What loaded models may take together: 12GiB (default: no bound).")
    var memoryBudget: String?

    @Option(help: "This process's place in the pipeline, from 0.")
    var stage: Int?

    @Option(help: "Stages of the pipeline.")
    var stages: Int?

    @Option(help: "Layers of this stage, A..<B (default: an equal share by weight bytes).")
    var layers: String?

    @Option(help: "HOST:PORT of the next stage; for every stage but the last.")
    var next: String?

    @Option(help: "Compute threads (default: all cores).")
    var threads: Int?

    @Option(name: .customLong("kv-blocks"), help: "KV cache blocks, equal on all stages (default: up to 1 GiB).")
    var kvBlocks: Int?

    @Option(
        name: .customLong("kv-type"), help: "KV cache numbers, equal on all stages: f16, or int8 for half the memory.")
    var kvType: String?

    @Option(name: .customLong("max-batched-tokens"), help: "Most tokens of one step.")
    var maxBatchedTokens: Int?

    @Option(name: .customLong("max-running"), help: "Most sequences that hold KV cache at once.")
    var maxRunning: Int?

    @Option(name: .customLong("max-waiting"), help: "Most sequences that wait; more are refused.")
    var maxWaiting: Int?

    @Option(name: .customLong("prefix-cache"), help: "true: requests of a tenant share the KV of common prefixes.")
    var prefixCache: String?

    @Option(name: .customLong("draft-tokens"), help: "Most guessed tokens of a step; 0: no speculative decoding.")
    var draftTokens: Int?

    @Option(
        name: .customLong("prefill-share"),
        help: "While sequences generate: a prompt chunk's longest time, in generation steps; 0: no bound.")
    var prefillShare: Double?

    @Option(name: .customLong("step-timeout"), help: "A step unanswered for this long fails the requests in flight.")
    var stepTimeout: String?

    @Option(
        name: .customLong("relink-timeout"),
        help: "Longest wait of requests in flight for a lost stage to come back; 0s: they fail at once.")
    var relinkTimeout: String?

    @Option(
        name: .customLong("verify-models"),
        help: "What model files must prove before they are loaded: off, digest (of their manifest) or signature.")
    var verifyModels: String?

    @Option(
        name: .customLong("verify-key"),
        help: "Public key, a PEM file, that must have signed the manifest; for --verify-models signature.")
    var verifyKey: String?

    func run() async throws {
        let flags: ServiceFlags = [
            "model": model, "model-name": modelName, "memory-budget": memoryBudget, "stage": stage, "stages": stages,
            "layers": layers, "next": next,
            "threads": threads, "kv-blocks": kvBlocks, "kv-type": kvType, "max-batched-tokens": maxBatchedTokens,
            "max-running": maxRunning, "max-waiting": maxWaiting, "prefix-cache": prefixCache,
            "draft-tokens": draftTokens, "prefill-share": prefillShare, "step-timeout": stepTimeout,
            "relink-timeout": relinkTimeout, "verify-models": verifyModels, "verify-key": verifyKey,
        ]
        try await ServiceRunner.main(
            "shard", options: common, flags: flags, defaultPort: 7100, describe: { _ = try ShardConfiguration($0) }
        ) { process in
            try await ShardServer.services(ShardConfiguration(process.configuration), process: process)
        }
    }
}
