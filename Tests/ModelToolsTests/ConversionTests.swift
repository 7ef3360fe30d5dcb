import Foundation
import ModelFiles
import ModelTools
import Tensors
import Testing

/// Published checkpoints against the GGUF files that llama.cpp's converter made of them.
@Suite("Conversion", .disabled(if: Oracle.isMissing, "the oracle folder is not here"))
struct ConversionTests {
    private static let names = [
        "llama-deepseek-llm", "llama-coder-linear", "llama-r1-distill", "qwen2", "qwen3-yarn", "deepseek-v2-lite-27l",
        "deepseek-v3", "gemma3",
    ]

    /// Keys that say where a file came from, not what it holds.
    private static let provenance: Set<String> = [
        "general.size_label", "general.basename", "general.finetune", "general.version", "general.name",
    ]

    private func compare(_ path: String, with reference: GGUFFile) throws {
        let file = try GGUFFile(path: path)
        #expect(Set(file.tensorNames) == Set(reference.tensorNames))
        for name in reference.tensorNames {
            let ours = try file.tensor(name)
            let theirs = try reference.tensor(name)
            #expect(ours.shape == theirs.shape, "\(name)")
            #expect(ours.elementType == theirs.elementType, "\(name)")
            #expect(ours.bytes.elementsEqual(theirs.bytes), "\(name)")
        }
        for key in reference.metadata.keys where !Self.provenance.contains(key) {
            let ours = try #require(file.metadata[key], "\(key)")
            let theirs = try #require(reference.metadata[key])
            #expect(ours.type == theirs.type && "\(ours)" == "\(theirs)", "\(key)")
        }
    }

    @Test("tensors have the bytes, and metadata the values, of llama.cpp's own conversion", arguments: names)
    func equalsReference(name: String) throws {
        try withTemporaryDirectory { folder in
            let plan = try ModelPlan.read(path: Oracle.path(name))
            _ = try ModelQuantizer(plan, target: .f16).write(to: folder + "/model.gguf")
            try compare(folder + "/model.gguf", with: GGUFFile(path: Oracle.path("gguf/\(name)/\(name)-F16.gguf")))
        }
    }

    @Test("bf16 stays bf16")
    func brainFloats() throws {
        try withTemporaryDirectory { folder in
            let report = try ModelQuantizer(ModelPlan.read(path: Oracle.path("qwen3")), target: .bf16)
                .write(to: folder + "/model.gguf")
            #expect(report.relativeError == 0)
            try compare(folder + "/model.gguf", with: GGUFFile(path: Oracle.path("gguf/qwen3/qwen3-BF16.gguf")))
        }
    }

    @Test("FP8 becomes what quants times scales say, without the layer for further tokens")
    func eightBitFloats() throws {
        try withTemporaryDirectory { folder in
            let checkpoint = try SafetensorsCheckpoint(directory: Oracle.path("deepseek-v3-fp8"))
            _ = try ModelQuantizer(ModelPlan.read(path: Oracle.path("deepseek-v3-fp8")), target: .f32)
                .write(to: folder + "/model.gguf")
            let file = try GGUFFile(path: folder + "/model.gguf")
            #expect(!file.tensorNames.contains { $0.hasPrefix("blk.3.") })
            let stacked = try file.tensor("blk.1.ffn_up_exps.weight").dequantized()
            let expert = try checkpoint.tensor("model.layers.1.mlp.experts.5.up_proj.weight")
            let values = try expert.dequantized()
            #expect(Array(stacked[5 * values.count..<6 * values.count]) == values)
        }
    }

    @Test("a tensor without a place, an unknown architecture and an encoder are refused")
    func refusals() throws {
        try withTemporaryDirectory { folder in
            for (config, text) in [
                (#"{"architectures":["XForCausalLM"]}"#, "XForCausalLM"),
                (#"{"architectures":["LlamaForCausalLM"]}"#, "num_"),
                ("[]", "JSON"),
            ] {
                try? FileManager.default.removeItem(atPath: folder + "/model.safetensors")
                try FileManager.default.copyItem(
                    atPath: Oracle.path("qwen2/model.safetensors"), toPath: folder + "/model.safetensors")
                try Data(config.utf8).write(to: URL(fileURLWithPath: folder + "/config.json"))
                #expect { try ModelPlan.read(path: folder) } throws: { "\($0)".contains(text) }
            }
            // Qwen's biases have a place in a llama file, so take a model with norms llama does not know.
            let config = try String(contentsOfFile: Oracle.path("gemma3/config.json"), encoding: .utf8)
                .replacingOccurrences(of: "Gemma3ForCausalLM", with: "LlamaForCausalLM")
            try Data(config.utf8).write(to: URL(fileURLWithPath: folder + "/config.json"))
            #expect(throws: (any Error).self) { try ModelPlan.read(path: folder) }
            #expect { try ModelPlan.read(path: Oracle.path("bert-embed")) } throws: { "\($0)".contains("encoder") }
        }
    }
}
