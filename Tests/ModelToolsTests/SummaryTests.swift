import Foundation
import ModelFiles
import ModelTools
import Tensors
import Testing

@Suite("Summary", .disabled(if: Oracle.isMissing, "the oracle folder is not here"))
struct SummaryTests {
    @Test(
        "every architecture is described, alike from both formats",
        arguments: [
            "llama-deepseek-llm", "llama-coder-linear", "llama-r1-distill", "qwen2", "qwen3-yarn", "deepseek-v3",
            "gemma3",
            "deepseek-v2-lite-27l",
        ])
    func bothFormats(name: String) throws {
        let folder = try ModelSummary(path: Oracle.path(name))
        let file = try ModelSummary(path: Oracle.path("gguf/\(name)/\(name)-F16.gguf"))
        #expect(folder.architecture == file.architecture)
        #expect(folder.layerCount == file.layerCount)
        #expect(folder.kvBytesPerToken == file.kvBytesPerToken)
        #expect(folder.contextTokens == file.contextTokens)
        #expect(folder.vocabularySize == file.vocabularySize)
        #expect(folder.expertCount == file.expertCount)
        #expect(folder.format == "safetensors" && file.format == "gguf")
        // The rope factors are a tensor in one of them only.
        #expect(abs(folder.parameterCount - file.parameterCount) <= 64)
    }

    @Test("the others are described", arguments: ["deepseek-v2", "deepseek-v2-lite", "deepseek-v3-fp8", "qwen3"])
    func foldersOnly(name: String) throws {
        let summary = try ModelSummary(path: Oracle.path(name))
        #expect(summary.parameterCount > 0 && summary.layerCount > 0 && summary.kvBytesPerToken > 0)
    }

    @Test("encoders have no cache", arguments: ["bert-embed", "bert-rerank"])
    func encoders(name: String) throws {
        let summary = try ModelSummary(path: Oracle.path(name))
        #expect(summary.kvBytesPerToken == 0 && summary.layerCount == 3 && summary.architecture == "bert")
    }

    @Test("latent attention counts the latent and the rope part only")
    func latent() throws {
        // 4 layers, rank 32, rope 8, two bytes each.
        let summary = try ModelSummary(path: Oracle.path("deepseek-v3"))
        #expect(summary.kvBytesPerToken == 4 * (32 + 8) * 2)
        #expect(summary.activeParameterCount < summary.parameterCount)
    }

    @Test("stages cover all layers and weigh what the file weighs", arguments: 1...4)
    func stages(count: Int) throws {
        let summary = try ModelSummary(path: Oracle.path("deepseek-v3"))
        let plan = MemoryPlan(summary, stages: count, contextTokens: 100)
        #expect(plan.stages.count == count)
        #expect(plan.stages.first?.firstLayer == 0 && plan.stages.last?.endLayer == 4)
        #expect(zip(plan.stages, plan.stages.dropFirst()).allSatisfy { $0.endLayer == $1.firstLayer })
        #expect(plan.stages.reduce(0) { $0 + $1.weightByteCount } == summary.weightByteCount)
        #expect(plan.stages.reduce(0) { $0 + $1.kvByteCount } == 100 * summary.kvBytesPerToken)
    }

    @Test("what a machine can run follows from its memory")
    func memory() throws {
        let summary = try ModelSummary(path: Oracle.path("qwen3"))
        #expect(MemoryPlan.longestContext(summary, memory: 1 << 30) == summary.contextTokens)
        #expect(MemoryPlan.longestContext(summary, memory: summary.weightByteCount) == 0)
        #expect(MemoryPlan.fewestStages(summary, memory: 1 << 30, contextTokens: 128) == 1)
        #expect(MemoryPlan.fewestStages(summary, memory: 1000, contextTokens: 128) == nil)
        let half = MemoryPlan(summary, stages: 2, contextTokens: 128).largestStageByteCount
        #expect(MemoryPlan.fewestStages(summary, memory: half / 7 * 8 + 16, contextTokens: 128) == 2)
    }
}

/// Headers made for the purpose.
struct SummaryOfHeaderTests {
    private func withModel<R>(
        _ changes: [String: GGUFValue?], architecture: String = "llama", _ body: (String) throws -> R
    ) throws -> R {
        try withTemporaryDirectory { folder in
            var keys: [String: GGUFValue] = [
                "block_count": .uint32(12), "embedding_length": .uint32(64), "attention.head_count": .uint32(4),
                "attention.head_count_kv": .uint32(2), "context_length": .uint32(4_096), "vocab_size": .uint32(32),
            ]
            for (key, value) in changes { keys[key] = value }
            let path = folder + "/model.gguf"
            let metadata: [(key: String, value: GGUFValue)] =
                [("general.architecture", .string(architecture))]
                + keys.sorted { $0.key < $1.key }.map { ("\(architecture).\($0.key)", $0.value) }
            let writer = try GGUFWriter(
                path: path, metadata: metadata,
                tensors: [try GGUFWriter.Tensor(name: "token_embd.weight", shape: [32, 64], type: .f32)])
            try [Float](repeating: 1, count: 32 * 64).withUnsafeBytes { try writer.write($0) }
            try writer.finish()
            return try body(path)
        }
    }

    @Test(
        "sizes that no model has are refused with their name, as the engine refuses them",
        arguments: [
            ("attention.head_count", 0, "heads"), ("attention.head_count", 5_000, "heads"),
            ("attention.head_count_kv", 0, "keys and values"), ("attention.head_count_kv", 3, "keys and values"),
            ("embedding_length", 0, "width"), ("context_length", 0, "context"), ("context_length", 1, "context"),
            ("vocab_size", 0, "vocabulary"), ("block_count", 0, "layers"), ("attention.key_length", 0, "width 0"),
        ])
    func absurd(_ key: String, _ value: UInt32, _ words: String) throws {
        try withModel([key: .uint32(value)]) { path in
            let failure = #expect(throws: ModelToolsError.self) { try ModelSummary(path: path) }
            #expect(failure?.message.contains(words) == true, "\(failure?.message ?? "")")
        }
    }

    @Test("an architecture we do not know may leave sizes out")
    func unknown() throws {
        try withModel(["attention.head_count": .uint32(0), "context_length": nil], architecture: "mamba") { path in
            let summary = try ModelSummary(path: path)
            #expect(summary.headCount == 0)
        }
    }

    @Test("layers with a sliding window need the window only; what this engine keeps is told apart")
    func windows() throws {
        try withModel(["attention.sliding_window": .uint32(512)], architecture: "gemma3") { path in
            let summary = try ModelSummary(path: path)
            #expect(summary.slidingWindow == 512 && summary.slidingLayerCount == 10)
            let perLayer = 2 * 2 * 2 * 16
            #expect(summary.kvBytesPerToken == 12 * perLayer)
            for (stages, context) in [(1, 4_096), (3, 4_096), (2, 100)] {
                let plan = MemoryPlan(summary, stages: stages, contextTokens: context)
                #expect(
                    plan.stages.reduce(0) { $0 + $1.kvByteCount }
                        == perLayer * (2 * context + 10 * min(context, 512)))
                #expect(plan.stages.reduce(0) { $0 + $1.keptKVByteCount } == perLayer * 12 * context)
            }
        }
        try withModel([:]) { path in
            let plan = MemoryPlan(try ModelSummary(path: path), stages: 1, contextTokens: 100)
            #expect(plan.stages[0].kvByteCount == plan.stages[0].keptKVByteCount)
        }
    }

    @Test("licence and template are found where models keep them")
    func papers() throws {
        try withModel([:]) { path in
            let folder = (path as NSString).deletingLastPathComponent
            #expect(try ModelPapers(path: path).license == nil)
            try Data("The Licence of Things\n\nYou may.".utf8).write(to: URL(fileURLWithPath: folder + "/LICENSE"))
            #expect(try ModelPapers(path: path).license == "The Licence of Things")
            try Data("---\nlanguage: en\nlicense: \"apache-2.0\"\n---\n# Net\nlicense: none".utf8)
                .write(to: URL(fileURLWithPath: folder + "/README.md"))
            #expect(try ModelPapers(path: path).license == "apache-2.0")
            try Data("---\nlicense: other\nlicense_name: net-1\n---\n".utf8)
                .write(to: URL(fileURLWithPath: folder + "/README.md"))
            #expect(try ModelPapers(path: path).license == "net-1")
            #expect(try ModelPapers(path: path).chatTemplate == nil)
        }
    }

    @Test("what quantising would come to is known before, and a second rounding into more bytes is told")
    func forecast() throws {
        try withTemporaryDirectory { folder in
            let tensors = (0..<2).map { layer in
                PlannedTensor(name: "blk.\(layer).ffn_down.weight", shape: [64, 256], sources: []) {
                    { row, output in for i in 0..<256 { output[i] = Float((row * 31 + i * 7) % 19) - 9 } }
                }
            }
            let metadata: [(key: String, value: GGUFValue)] = [
                ("general.architecture", .string("llama")), ("llama.block_count", .uint32(2)),
            ]
            let plan = ModelPlan(source: "made", metadata: metadata, tensors: tensors)
            let first = ModelQuantizer(plan, target: .q4_0)
            let forecast = try first.forecast()
            #expect(forecast.quantizedSourceTypes == [] && !forecast.isLossForNothing)
            let report = try first.write(to: folder + "/q4.gguf")
            #expect(report.byteCount == forecast.byteCount)

            let rounded = try ModelPlan.read(path: folder + "/q4.gguf")
            let larger = try ModelQuantizer(rounded, target: .q8_0).forecast()
            #expect(larger.quantizedSourceTypes == ["Q4_0"] && larger.isLossForNothing)
            #expect(larger.sourceByteCount == forecast.byteCount && larger.byteCount > larger.sourceByteCount)
            // The same type is a copy, and floats lose nothing.
            for target in [QuantizationTarget.q4_0, .f16] {
                let forecast = try ModelQuantizer(rounded, target: target).forecast()
                #expect(!forecast.isLossForNothing)
            }
        }
    }
}
