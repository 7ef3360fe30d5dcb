import Foundation
import ModelTools
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
