import Foundation
import ModelFiles
import ModelTools
import Testing

/// Mutants of the tiny checkpoints, through all that a shard and the tools do with a model: each is refused with an error
/// that says why, or works; none ends the process.
///
/// `FATHOM_MODEL_MUTANTS` sets how many mutants each test tries (default 40) and `FATHOM_MODEL_SEED` where the series
/// begins; a seed has the same mutants in every run. The mutant that ended a process lies in the temporary folder.
@Suite("Broken models, loaded and converted", .enabled(if: OracleFolder.path != nil), .serialized)
struct BrokenModelTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let count = environment["FATHOM_MODEL_MUTANTS"].flatMap(Int.init) ?? 40
    private static let seed = environment["FATHOM_MODEL_SEED"].flatMap(UInt64.init) ?? 1

    @Test(
        "mutated GGUF files",
        arguments: [
            "qwen2/qwen2-Q8_0", "llama-deepseek-llm/llama-deepseek-llm-Q4_K_M", "deepseek-v3/deepseek-v3-Q8_0",
            "gemma3/gemma3-F16", "llama-r1-distill/llama-r1-distill-F16",
        ])
    func gguf(name: String) throws {
        let document = try GGUFDocument(path: #require(OracleFolder.path) + "/gguf/\(name).gguf")
        try fuzz(name) { random, folder in
            var mutant = document
            mutant.mutate(&random)
            var bytes = mutant.bytes
            if Int.random(in: 0..<8, using: &random) == 0 {
                bytes.mutate(below: bytes.count - mutant.data.count, &random)
            }
            let path = folder + "/model.gguf"
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            return path
        }
    }

    @Test(
        "mutated safetensors folders",
        arguments: ["qwen2", "qwen3-yarn", "deepseek-v2", "deepseek-v3-fp8", "gemma3", "llama-r1-distill"])
    func folder(name: String) throws {
        let source = try #require(OracleFolder.path) + "/" + name
        var files: [String: [UInt8]] = [:]
        for file in try FileManager.default.contentsOfDirectory(atPath: source) where file != "expected.json" {
            files[file] = Array(try Data(contentsOf: URL(fileURLWithPath: source + "/" + file)))
        }
        files["generation_config.json"] = Array(#"{"eos_token_id": [1, 2], "bos_token_id": 0}"#.utf8)
        let names = files.keys.sorted()
        try fuzz(name) { random, folder in
            let chosen =
                Int.random(in: 0..<3, using: &random) == 0 ? "config.json" : names.randomElement(using: &random)
            for (file, bytes) in files {
                let changed = file == chosen ? try Self.mutated(bytes, of: file, &random) : bytes
                try Data(changed).write(to: URL(fileURLWithPath: folder + "/" + file))
            }
            return folder
        }
    }

    private static func mutated(_ bytes: [UInt8], of file: String, _ random: inout SplitMix64) throws -> [UInt8] {
        if file.hasSuffix(".safetensors") {
            let size = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
            guard Int.random(in: 0..<4, using: &random) > 0 else {
                var bytes = bytes
                bytes.mutate(below: 8 + size, &random)
                return bytes
            }
            let header = try JSONMutation.mutated(Array(bytes[8..<8 + size]), &random)
            return GGUFDocument.bytes(UInt64(header.count)) + header + bytes[(8 + size)...]
        }
        guard file.hasSuffix(".json"), Int.random(in: 0..<8, using: &random) > 0 else {
            var bytes = bytes
            bytes.mutate(below: bytes.count, &random)
            return bytes
        }
        return try JSONMutation.mutated(bytes, &random)
    }

    /// Tries `count` mutants, which `make` writes into an empty folder.
    private func fuzz(_ name: String, _ make: (inout SplitMix64, _ folder: String) throws -> String) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("broken-\(UUID().uuidString)").path
        var trial = try ModelTrial()
        for round in 0..<Self.count {
            var random = SplitMix64(state: Self.seed &+ UInt64(round) &* 0x1_0000_0001)
            // A new folder each time: files of the one before may still be mapped.
            try? FileManager.default.removeItem(atPath: folder)
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let path = try make(&random, folder)
            let target = round % 3 == 0 ? QuantizationTarget.allCases.randomElement(using: &random) : nil
            let start = ContinuousClock.now
            trial.run(
                path: path, target: target, isParallel: round % 4 == 0,
                "\(name), seed \(Self.seed), round \(round)")
            let time = ContinuousClock.now - start
            if time > .seconds(2), Self.environment["FATHOM_MODEL_MUTANTS"] != nil {
                print("slow: \(name), seed \(Self.seed), round \(round): \(time)")
            }
        }
        try? FileManager.default.removeItem(atPath: folder)
        // Mutants that nothing reads would show nothing.
        #expect(trial.counts.opened > 0 && trial.counts.computed > 0 && trial.counts.summarized > 0, "\(trial.counts)")
        if Self.environment["FATHOM_MODEL_MUTANTS"] != nil { print("\(name): \(trial.counts)") }
    }
}

/// Where the tiny checkpoints are: in `$FATHOM_ORACLE`, or in `shared/oracle` beside the repository.
enum OracleFolder {
    static let path: String? = {
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let beside = repository.deletingLastPathComponent().appendingPathComponent("shared/oracle").path
        return [ProcessInfo.processInfo.environment["FATHOM_ORACLE"], beside].compactMap {
            $0.map { $0 + "/architectures" }
        }
        .first { FileManager.default.fileExists(atPath: $0) }
    }()
}
