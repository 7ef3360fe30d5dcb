import Foundation
import ModelFiles
import ModelTools
import Testing
import Transformer

/// Settings of config.json that GGUF files take for granted, have a key for, or cannot hold.
@Suite("Conversion of settings", .disabled(if: Oracle.isMissing, "the oracle folder is not here"))
struct ConversionSettingsTests {
    /// An oracle checkpoint with other settings, by what `body` finds in its folder.
    private func withCheckpoint<R>(_ name: String, _ changes: String, _ body: (String) throws -> R) throws -> R {
        try withTemporaryDirectory { folder in
            for file in try FileManager.default.contentsOfDirectory(atPath: Oracle.path(name)) {
                try FileManager.default.copyItem(atPath: Oracle.path("\(name)/\(file)"), toPath: "\(folder)/\(file)")
            }
            let config = URL(fileURLWithPath: folder + "/config.json")
            func object(_ data: Data) throws -> [String: Any] {
                try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
            }
            let merged = try object(Data(contentsOf: config)).merging(object(Data(changes.utf8))) { $1 }
                .filter { !($0.value is NSNull) }
            try FileManager.default.removeItem(at: config)
            try JSONSerialization.data(withJSONObject: merged).write(to: config)
            return try body(folder)
        }
    }

    @Test(
        "the converted file is the same model to the engine",
        arguments: [
            ("gemma3", #"{"sliding_window_pattern": 3}"#),
            (
                "gemma3",
                #"{"sliding_window_pattern": null, "num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"]}"#
            ),
            (
                "qwen3-yarn",
                #"{"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 40, "rope_theta": 10000.0, "attention_factor": 0.8}}"#
            ),
            (
                "qwen3-yarn",
                #"{"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 40, "rope_theta": 10000.0, "mscale": 1.3, "mscale_all_dim": 0.6}}"#
            ),
            ("deepseek-v2", "{}"),
            ("deepseek-v2", #"{"topk_method": "greedy", "norm_topk_prob": true}"#),
            ("deepseek-v3", #"{"scoring_func": null, "norm_topk_prob": null, "topk_method": null}"#),
        ])
    func keepsSettings(name: String, changes: String) throws {
        try withCheckpoint(name, changes) { folder in
            _ = try ModelQuantizer(ModelPlan.read(path: folder), target: .f16).write(to: folder + "/model.gguf")
            let theirs = try ModelWeights(path: folder).model
            let ours = try ModelWeights(path: folder + "/model.gguf").model
            #expect(ours.layers == theirs.layers)
            // Both have no groups, in the checkpoint's words and in the file's.
            #expect(ours.experts.map(choice) == theirs.experts.map(choice))
            for (a, b) in zip(ours.rotary, theirs.rotary) { #expect(abs(a.magnitude - b.magnitude) < 1e-6) }
        }
    }

    private func choice(_ experts: ExpertConfiguration) -> String {
        "\(experts.scoring) \(experts.groupCount) \(experts.usedGroupCount) \(experts.isNormalized)"
    }

    @Test(
        "what the file cannot hold is refused by name",
        arguments: [
            ("gemma3", #"{"query_pre_attn_scalar": 20}"#, "query_pre_attn_scalar"),
            (
                "gemma3", #"{"num_hidden_layers": 2, "layer_types": ["full_attention", "sliding_attention"]}"#,
                "layer_types"
            ),
            ("deepseek-v3", #"{"rope_interleave": false}"#, "rope_interleave"),
            ("deepseek-v3", #"{"moe_layer_freq": 2}"#, "moe_layer_freq"),
            ("qwen2", #"{"use_sliding_window": true, "sliding_window": 9}"#, "use_sliding_window"),
            ("llama-deepseek-llm", #"{"hidden_act": "gelu"}"#, "hidden_act"),
            ("llama-deepseek-llm", #"{"partial_rotary_factor": 0.5}"#, "partial_rotary_factor"),
        ])
    func refuses(name: String, changes: String, setting: String) throws {
        try withCheckpoint(name, changes) { folder in
            #expect { try ModelPlan.read(path: folder) } throws: { "\($0)".contains(setting) }
        }
    }
}
