import Foundation
import InferenceCore
import Kernels
import ModelFiles
import Testing
import Transformer

/// What holds for every architecture; that the numbers are right is in `ModelCheckTests`.
@Suite(.enabled(if: OracleModels.folder != nil)) struct ArchitectureTests {
    /// Longer than every window and than one partition of attention.
    private func prompt(_ weights: ModelWeights) -> [TokenID] {
        var generator = SeededGenerator(state: 11)
        return (0..<150).map { _ in TokenID.random(in: 3..<TokenID(weights.model.vocabularySize - 3), using: &generator)
        }
    }

    @Test(
        "tokens are equal for every chunking, thread count and number of stages", arguments: OracleModels.names)
    func sameTokensHoweverComputed(name: String) throws {
        let weights = try OracleModels.weights(name)
        let prompt = prompt(weights)
        let expected = try StageHarness(weights, threads: 1).greedy(prompt, count: 12)
        #expect(try StageHarness(weights, threads: 2).greedy(prompt, count: 12, chunk: 1) == expected)
        #expect(
            try StageHarness(weights, stages: 2, threads: 2).greedy(prompt, count: 12, chunk: 33, firstBlock: 20)
                == expected)
        let stages = min(3, weights.model.layerCount)
        #expect(try StageHarness(weights, stages: stages, threads: 1).greedy(prompt, count: 12, chunk: 7) == expected)
        let exact = try StageHarness(weights, threads: 1, exact: true).greedy(prompt, count: 12)
        #expect(
            try StageHarness(weights, stages: stages, threads: 2, exact: true).greedy(prompt, count: 12, chunk: 5)
                == exact)
    }

    @Test("logits have the same bits alone, in a batch, in chunks and on two threads", arguments: OracleModels.names)
    func sameBits(name: String) throws {
        let weights = try OracleModels.weights(name)
        let prompt = prompt(weights)
        let whole = try StageHarness(weights, threads: 1).run(
            [makeStep(id: 1, start: 0, tokens: prompt, firstBlock: 0, sample: true)], everyToken: true)
        let harness = try StageHarness(weights, threads: 2)
        for start in stride(from: 0, to: prompt.count, by: 1) {
            let step = makeStep(id: 1, start: start, tokens: [prompt[start]], firstBlock: 0, sample: true)
            #expect(try harness.run([step])[0] == whole[start], "position \(start)")
        }
        let together = try harness.run([
            makeStep(id: 2, start: 0, tokens: Array(prompt.prefix(40)), firstBlock: 20, sample: true),
            makeStep(id: 3, start: 0, tokens: Array(prompt.prefix(3)), firstBlock: 30, sample: true),
            makeStep(id: 1, start: 149, tokens: [prompt[149]], firstBlock: 0, sample: true),
        ])
        #expect(together == [whole[39], whole[2], whole[149]])
    }

    @Test("what a stage takes is known from the headers", arguments: OracleModels.names)
    func footprint(name: String) throws {
        let weights = try OracleModels.weights(name)
        for exact in [false, true] {
            let configuration = StageConfiguration(threads: 2, kvBlockCount: 8, maxBatchedTokens: 32, exact: exact)
            for layers in try ModelConfiguration.partition(weights, stages: 2) {
                let footprint = try StageFootprint(weights, layers: layers, configuration: configuration)
                let stage = try TransformerStage(weights, layers: layers, configuration: configuration)
                #expect(footprint.weightByteCount >= stage.weightByteCount)
                #expect(Double(footprint.weightByteCount) < 1.5 * Double(stage.weightByteCount))
                #expect(footprint.kvCacheByteCount == stage.kvCacheByteCount)
            }
        }
    }

    @Test(
        "latent attention caches kv_lora_rank + rope values of a token in each layer, and nothing else",
        arguments: OracleModels.names.filter { $0.contains("deepseek-v") })
    func latentCacheBytes(name: String) throws {
        let weights = try OracleModels.weights(name)
        guard case .latent(let latent) = weights.model.attention else {
            Issue.record("\(name) has no latent attention")
            return
        }
        for (type, exact, size) in [(KeyValueType.f16, false, 2), (.int8, false, 2), (.f16, true, 4)] {
            let stage = try TransformerStage(
                weights,
                configuration: StageConfiguration(
                    threads: 1, kvBlockCount: 3, maxBatchedTokens: 16, kvType: type, exact: exact))
            let tokens = 3 * TransformerStage.kvBlockSize
            #expect(
                stage.kvCacheByteCount
                    == tokens * weights.model.layerCount * (latent.latentWidth + latent.rotaryWidth) * size)
        }
    }

    @Test("a tensor that the forward pass would ignore, and one that is missing, are refused by name")
    func wrongTensors() throws {
        let folder = try #require(OracleModels.folder) + "/qwen2"
        // Qwen2's tensors read as Llama's: the biases are too many for one, and too few for the other.
        try withFolder(copying: folder, replacing: ("\"qwen2\"", "\"llama\"")) { copy in
            let error = #expect(throws: InferenceError.self) { try ModelWeights(path: copy) }
            #expect(error?.code == .unsupportedModel && error?.message.contains("proj.bias") == true)
        }
        let llama = try #require(OracleModels.folder) + "/llama-deepseek-llm"
        try withFolder(copying: llama, replacing: ("\"llama\"", "\"qwen2\"")) { copy in
            let weights = try ModelWeights(path: copy)
            let error = #expect(throws: ModelFileError.self) {
                try TransformerStage(weights, configuration: StageConfiguration(threads: 1, kvBlockCount: 4))
            }
            #expect(error?.message.contains("attn_q.bias") == true)
        }
    }

    @Test(
        "sizes in config.json that the tensors do not have are refused",
        arguments: [
            ("\"hidden_size\": 64", "\"hidden_size\": 96"), ("\"vocab_size\": 512", "\"vocab_size\": 511"),
            ("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4"),
            ("\"intermediate_size\": 160", "\"intermediate_size\": 161"),
            ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4"),
        ])
    func wrongSizes(_ change: (String, String)) throws {
        let folder = try #require(OracleModels.folder) + "/llama-deepseek-llm"
        try withFolder(copying: folder, replacing: change) { copy in
            #expect(throws: (any Error).self) {
                try TransformerStage(
                    ModelWeights(path: copy), configuration: StageConfiguration(threads: 1, kvBlockCount: 4))
            }
        }
    }

    /// A folder with the same weights and another config.json.
    private func withFolder(
        copying folder: String, replacing change: (String, String), _ body: (String) throws -> Void
    ) throws {
        let copy = FileManager.default.temporaryDirectory.appendingPathComponent("model-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: copy) }
        let config = try String(contentsOfFile: folder + "/config.json", encoding: .utf8)
        #expect(config.contains(change.0))
        try config.replacingOccurrences(of: change.0, with: change.1).write(
            toFile: copy + "/config.json", atomically: true, encoding: .utf8)
        try FileManager.default.copyItem(
            atPath: folder + "/model.safetensors", toPath: copy + "/model.safetensors")
        try body(copy)
    }
}
