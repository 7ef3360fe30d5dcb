import ArgumentParser
import Foundation
import Kernels
import ModelRegistry

/// `fathom bench start`.
struct StartBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start",
        abstract: "Times a shard from starting the process to its first token, from a warm page cache.",
        discussion: "Also compares its resident memory with its weights and the budget of its KV cache.")

    @Option(help: "Text model: an installed one, a GGUF file or a safetensors folder.")
    var model = ModelCatalogue.defaultTextModel

    @Option(help: "Starts; medians are shown.")
    var repeats = 5

    @Option(name: .customLong("kv-type"), help: "KV cache numbers: f16, int8 or f32.")
    var kvType = "f16"

    @Option(name: .customLong("kv-blocks"), help: "KV cache blocks (default: the shard's).")
    var kvBlocks: Int?

    @Option(help: "Compute threads (default: the shard's).")
    var threads: Int?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard KeyValueType(rawValue: kvType) != nil else {
            throw ValidationError("--kv-type is \(kvType); expected f16, int8 or f32")
        }
        for (name, value, range) in [
            ("repeats", repeats, 1...1_000), ("kv-blocks", kvBlocks ?? 1, 1...1 << 24),
            ("threads", threads ?? 1, 1...256),
        ] where !range.contains(value) {
            throw ValidationError("--\(name) is \(value); expected \(range.lowerBound)...\(range.upperBound)")
        }
    }

    func run() async throws {
        let text = try ModelRegistry.standard().textModel(model)
        let path = URL(fileURLWithPath: text.path).standardizedFileURL.path
        let arguments =
            (kvBlocks.map { ["--kv-blocks", String($0)] } ?? []) + (threads.map { ["--threads", String($0)] } ?? [])
        let benchmark = StartBenchmark(
            executable: ExecutablePath.directory() + "/fathom-shard", model: (text.name, path),
            shardArguments: arguments, kvType: KeyValueType(rawValue: kvType) ?? .f16)
        let interrupts = Interrupts()
        let samples = try await interrupts.orNil { [repeats] in
            var samples: [StartBenchmark.Sample] = []
            for _ in 0..<repeats { samples.append(try await benchmark.sample()) }
            return samples
        }
        guard let samples else { throw ExitCode(130) }
        if json { try Terminal.json(samples) } else { Terminal.write(Self.table(samples)) }
    }

    private static func table(_ samples: [StartBenchmark.Sample]) -> String {
        var table = TextTable(header: ["FIGURE", "MEDIAN", "SAMPLES"])
        func add(_ name: String, _ format: String, _ value: (StartBenchmark.Sample) -> Double) {
            let values = samples.map(value)
            table.add([
                name, String(format: format, SampleStatistics(values).median ?? .nan),
                values.map { String(format: format, $0) }.joined(separator: " "),
            ])
        }
        add("listens after, s", "%.3f") { $0.secondsToListening }
        add("first token after, s", "%.3f") { $0.secondsToFirstToken }
        add("resident, MB", "%.1f") { Double($0.residentBytes) / 1e6 }
        add("of it not of files, MB", "%.1f") { Double($0.anonymousBytes) / 1e6 }
        add("resident at most, MB", "%.1f") { Double($0.peakResidentBytes) / 1e6 }
        add("weights, MB", "%.1f") { Double($0.weightBytes) / 1e6 }
        add("KV budget, MB", "%.1f") { Double($0.kvBudgetBytes) / 1e6 }
        add("resident / (weights + KV budget)", "%.2f") { $0.residentRatio }
        return table.text
    }
}
