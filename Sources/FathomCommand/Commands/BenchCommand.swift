import ArgumentParser
import Foundation
import Kernels
import ModelRegistry

/// `fathom bench`.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures the engine, a start, the wire, search, or a gateway under load.",
        subcommands: [
            EngineBench.self, StartBench.self, WireBench.self, RetrievalBench.self, HTTPBench.self,
        ])
}

/// `fathom bench engine`.
struct EngineBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "engine",
        abstract: "Times prefill, decode and batched decode, in process or over shard processes.",
        discussion: "Decode is timed while all sequences decode: after the last prefill, before the first one ends.")

    @Option(help: "Text model: an installed one, a GGUF file or a safetensors folder.")
    var model = ModelCatalogue.defaultTextModel

    @Option(help: "Compute threads (default: all processors in process, the shards' default over shards).")
    var threads: Int?

    @Option(help: "Prompt tokens.")
    var prompt = 512

    @Option(help: "Tokens to generate.")
    var generate = 128

    @Option(help: "Sequences at once, such as 1,8,32.")
    var batch = "1,8,32"

    @Option(help: "Runs of each measurement; medians are shown.")
    var repeats = 5

    @Option(
        name: .customLong("draft-tokens"),
        help:
            "Most guessed tokens of a step (prompts here are noise, which models answer with repetitions: it flatters)."
    )
    var draftTokens = 0

    @Option(name: .customLong("kv-type"), help: "KV cache numbers: f16, int8 or f32.")
    var kvType = "f16"

    @Option(help: "Over this many real shard processes instead of in process.")
    var shards: Int?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard let batches = batches, !batches.isEmpty, batches.allSatisfy({ (1...1_024).contains($0) }) else {
            throw ValidationError("--batch \(batch); expected numbers in 1...1024 with commas between")
        }
        guard KeyValueType(rawValue: kvType) != nil else {
            throw ValidationError("--kv-type is \(kvType); expected f16, int8 or f32")
        }
        for (name, value, range) in [
            ("prompt", prompt, 1...1_000_000), ("generate", generate, 2...1_000_000), ("repeats", repeats, 1...1_000),
            ("shards", shards ?? 1, 1...ClusterPlan.maximumShards), ("threads", threads ?? 1, 1...256),
            ("draft-tokens", draftTokens, 0...256),
        ] where !range.contains(value) {
            throw ValidationError("--\(name) is \(value); expected \(range.lowerBound)...\(range.upperBound)")
        }
    }

    private var batches: [Int]? {
        let numbers = batch.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        return numbers.contains(nil) ? nil : numbers.compactMap { $0 }
    }

    func run() async throws {
        let text = try ModelRegistry.standard().textModel(model)
        let batches = batches ?? []
        let sequences = max(batches.max() ?? 1, 1)
        // Blocks hold at least 16 positions; one more for each sequence's last, partly filled block.
        let blocks = sequences * ((prompt + generate) / 16 + 2)
        var result: EngineBenchmark.Result
        if let shards {
            result = try await overShards(shards, text, batches: batches, blocks: blocks)
        } else {
            let threads = threads ?? ProcessInfo.processInfo.activeProcessorCount
            let backend = try LocalBackend(
                modelPath: text.path, threads: threads, kvBlockCount: blocks, maxSequences: sequences,
                draftTokens: draftTokens, kvType: KeyValueType(rawValue: kvType) ?? .f16)
            result = try await measure(backend, text.name, threads: threads, shards: 0, batches: batches)
            await backend.shutdown()
            let probe = try MachineProbe(threads: threads)
            result.probe = EngineBenchmark.Probe(
                readBytesPerSecond: probe.readBytesPerSecond, int8OperationsPerSecond: probe.int8OperationsPerSecond)
        }
        Terminal.endProgress()
        if json {
            try Terminal.json(result)
        } else {
            Terminal.write(result.text)
        }
    }

    private func measure(
        _ backend: any GenerationBackend, _ name: String, threads: Int?, shards: Int, batches: [Int]
    ) async throws -> EngineBenchmark.Result {
        let benchmark = EngineBenchmark(
            backend: backend, prompt: prompt, generate: generate, batches: batches, repeats: repeats)
        return try await benchmark.run(model: name, threads: threads, shards: shards) { Terminal.progress($0) }
    }

    private func overShards(
        _ shards: Int, _ text: (name: String, path: String), batches: [Int], blocks: Int
    ) async throws -> EngineBenchmark.Result {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("fathom-bench-\(UUID().uuidString)")
            .path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let home = HomeDirectory(path: folder)
        let settings = ClusterSettings(
            executableDirectory: ExecutablePath.directory(), shards: shards, threads: threads,
            models: [.init(name: text.name, path: URL(fileURLWithPath: text.path).standardizedFileURL.path)],
            encoderPath: "",
            shardArguments: [
                "--kv-blocks", String(blocks), "--max-running", String(max(64, batches.max() ?? 1)), "--max-waiting",
                "1024", "--draft-tokens", String(draftTokens), "--kv-type", kvType,
            ], shardsOnly: true)
        let interrupts = Interrupts()
        let starter = ClusterStarter(home: home, settings: settings, isTiedToUs: true) { Terminal.progress($0) }
        guard let cluster = try await interrupts.orNil({ try await starter.start() }) else { throw ExitCode(130) }
        do {
            let measured = try await interrupts.orNil {
                guard let head = cluster.processes.first(where: { $0.name == "shard-0" }) else {
                    throw CommandError(.startFailed, "there is no shard-0")
                }
                let backend = try await WireBackend.connect(host: head.host, port: head.port, deadline: .seconds(120))
                let result = try await measure(backend, text.name, threads: threads, shards: shards, batches: batches)
                await backend.close()
                return result
            }
            await ClusterStopper.stop(supervisor: cluster.supervisor, home: home)
            guard let measured else { throw ExitCode(130) }
            return measured
        } catch {
            await ClusterStopper.stop(supervisor: cluster.supervisor, home: home)
            throw error
        }
    }
}

extension EngineBenchmark.Result {
    var text: String {
        var table = TextTable(header: ["WORK", "SEQUENCES", "TOKENS/S", "SAMPLES"])
        func row(_ work: String, _ figure: EngineBenchmark.Figure) -> [String] {
            [
                work, String(figure.sequences), String(format: "%.1f", figure.tokensPerSecond),
                figure.samples.map { String(format: "%.1f", $0) }.joined(separator: " "),
            ]
        }
        table.add(row("prefill \(prompt)", prefill))
        table.add(row("decode \(generate)", decode))
        for figure in batch { table.add(row("decode \(generate)", figure)) }
        let limits =
            probe.map {
                String(
                    format: "this machine at best: %.1f GB/s read, %.0f Gop/s int8\n", $0.readBytesPerSecond / 1e9,
                    $0.int8OperationsPerSecond / 1e9)
            } ?? ""
        let place = shards == 0 ? "in process" : "\(shards) shards"
        return "\(model), \(place), threads \(threads.map(String.init) ?? "default")\n" + table.text + limits
    }
}

/// `fathom bench http`.
struct HTTPBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "http", abstract: "Loads a gateway with streaming chat completions.")

    @OptionGroup var gateway: GatewayOptions
    @Option(help: "Clients at once.")
    var clients = 8
    @Option(help: "Requests in all.")
    var requests = 32
    @Option(name: .customLong("max-tokens"), help: "Tokens of each answer.")
    var maxTokens = 64
    @Option(name: .customLong("prompt-words"), help: "Words of each prompt.")
    var promptWords = 40
    @Option(name: .customLong("shared-prefix"), help: "Words that all prompts begin with.")
    var sharedPrefix = 0
    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        for (name, value, range) in [
            ("clients", clients, 1...10_000), ("requests", requests, 1...10_000_000),
            ("max-tokens", maxTokens, 1...1_000_000),
            ("prompt-words", promptWords, 0...1_000_000), ("shared-prefix", sharedPrefix, 0...1_000_000),
        ] where !range.contains(value) {
            throw ValidationError("--\(name) is \(value); expected \(range.lowerBound)...\(range.upperBound)")
        }
    }

    func run() async throws {
        let result = try await gateway.withGateway(connections: clients) { client, model in
            await HTTPBenchmark(
                client: client, model: model, clients: clients, requests: requests, maxTokens: maxTokens,
                promptWords: promptWords, sharedPrefixWords: sharedPrefix
            ).run()
        }
        if json {
            try Terminal.json(result)
        } else {
            func milliseconds(_ value: Double?) -> String { value.map { String(format: "%.1f ms", $0) } ?? "-" }
            var table = TextTable(header: ["FIGURE", "VALUE"])
            table.add(["clients", String(result.clients)])
            table.add(["requests", String(result.requests)])
            table.add(["errors", String(result.errors) + (result.firstError.map { " (\($0))" } ?? "")])
            table.add(["tokens/s", String(format: "%.1f", result.tokensPerSecond)])
            table.add(["time to first token p50", milliseconds(result.timeToFirstTokenP50)])
            table.add(["time to first token p99", milliseconds(result.timeToFirstTokenP99)])
            table.add(["between tokens p50", milliseconds(result.interTokenP50)])
            table.add(["between tokens p99", milliseconds(result.interTokenP99)])
            table.add(["whole request p50", milliseconds(result.totalP50)])
            Terminal.write(table.text)
        }
        if result.errors > 0 { throw ExitCode(1) }
    }
}
