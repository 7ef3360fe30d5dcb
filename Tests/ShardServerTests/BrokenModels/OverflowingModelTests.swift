import Foundation
import ModelTools
import Testing

/// Files whose sizes ended the process, or made it write beyond its buffers, until the sizes were checked.
@Suite("Models of impossible sizes", .enabled(if: OracleFolder.path != nil))
struct OverflowingModelTests {
    private static let dense = "llama-deepseek-llm/llama-deepseek-llm-Q4_K_M"
    private static let experts = "deepseek-v3/deepseek-v3-Q8_0"

    @Test(
        "metadata beyond all bounds are refused by shards",
        arguments: [
            (experts, ["deepseek2.attention.key_length_mla": Int64.min]),
            (experts, ["deepseek2.expert_feed_forward_length": .max]),
            (experts, ["deepseek2.attention.kv_lora_rank": .max]),
            (experts, ["deepseek2.expert_used_count": .max]),
            (dense, ["llama.block_count": .max]), (dense, ["llama.block_count": .min]),
            (dense, ["llama.attention.key_length": .max, "llama.attention.value_length": .max]),
            // A rotary pair is wider than these heads, and the tensors fit them.
            (
                dense,
                [
                    "llama.attention.head_count": 64, "llama.attention.head_count_kv": 32,
                    "llama.attention.key_length": 1, "llama.attention.value_length": 1,
                    "llama.rope.dimension_count": 2,
                ]
            ),
        ])
    func metadata(name: String, values: [String: Int64]) throws {
        var document = try GGUFDocument(path: #require(OracleFolder.path) + "/gguf/\(name).gguf")
        for (key, value) in values {
            document.keys.removeAll { $0.name == key }
            document.keys.append(
                .init(name: key, type: GGUFDocument.ValueType.int64, value: GGUFDocument.bytes(value)))
        }
        #expect(try counts(document).computed == 0)
    }

    @Test(
        "an empty tensor of countless rows is refused",
        arguments: [[0, UInt64(Int.max)], [0, 1 << 62], [UInt64(Int.max), 0], [5, 0, 1 << 60]])
    func emptyTensor(dimensions: [UInt64]) throws {
        var document = try GGUFDocument(path: #require(OracleFolder.path) + "/gguf/\(Self.dense).gguf")
        let index = try #require(document.tensors.firstIndex { $0.name == "blk.0.attn_q.weight" })
        document.tensors[index].dimensions = dimensions
        document.tensors[index].type = 0
        #expect(try counts(document).computed == 0)
    }

    @Test("the scaling of heads wider than any is not computed")
    func hugeHeads() throws {
        try withFolder { folder in
            let source = try #require(OracleFolder.path) + "/llama-r1-distill"
            for file in try FileManager.default.contentsOfDirectory(atPath: source) where file != "expected.json" {
                try FileManager.default.copyItem(atPath: source + "/" + file, toPath: folder + "/" + file)
            }
            let path = folder + "/config.json"
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let changed = text.replacing(#/"head_dim": *\d+/#, with: #""head_dim": 2147483646"#)
            #expect(changed != text)
            try FileManager.default.removeItem(atPath: path)
            try Data(changed.utf8).write(to: URL(fileURLWithPath: path))
            var trial = try ModelTrial()
            trial.run(path: folder, target: .q4_0, isParallel: false, "huge heads")
            #expect(trial.counts.computed == 0 && trial.counts.quantized == 0)
        }
    }

    private func counts(_ document: GGUFDocument) throws -> ModelTrial.Counts {
        try withFolder { folder in
            let path = folder + "/model.gguf"
            try Data(document.bytes).write(to: URL(fileURLWithPath: path))
            var trial = try ModelTrial()
            trial.run(path: path, target: .q4_K_M, isParallel: true, "impossible sizes")
            return trial.counts
        }
    }

    private func withFolder<R>(_ body: (String) throws -> R) throws -> R {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sizes-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        return try body(folder)
    }
}
