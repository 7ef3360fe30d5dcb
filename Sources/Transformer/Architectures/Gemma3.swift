import InferenceCore
import Kernels

/// Gemma 3, text: most layers slide a window and have a rotary embedding of their own, norms come before and after each
/// block, and the embedding is scaled.
enum Gemma3: Architecture {
    static let name = "gemma3"
    static let modelTypes = ["gemma3_text"]
    static let layerParts = [
        "input_layernorm": "attn_norm", "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm", "post_feedforward_layernorm": "post_ffw_norm",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    ]
    /// Safetensors files hold w of `x * (1 + w)`.
    static let normOffset: Float = 1
    static let tiesEmbeddings = true

    /// Every so many layers one sees everything.
    private static let usualPattern = 6
    private static let localBase = 10_000.0
    /// The 27B model alone scales scores by its width per head; its GGUF files are known by their layers.
    private static let layersOf27B = 62

    static func configuration(_ metadata: ArchitectureMetadata) throws -> ModelConfiguration {
        var attention = try metadata.groupedAttention()
        attention.hasQueryKeyNorm = true
        if try metadata.int("block_count") == layersOf27B {
            attention.scale = 1 / Float(try metadata.int("embedding_length") / attention.headCount).squareRoot()
        }
        let global = try metadata.rotary(headWidth: attention.headWidth, layout: .halves)
        let local = RotaryConfiguration(
            base: try metadata.floatIfPresent("rope.freq_base_swa") ?? localBase, width: global.width, layout: .halves)
        var model = try common(metadata, attention: .grouped(attention), rotary: [global, local])
        let pattern = try metadata.intIfPresent("attention.sliding_window_pattern") ?? usualPattern
        let window = try metadata.int("attention.sliding_window")
        try complete(&model, windows: model.layers.indices.map { isLocal($0, pattern: pattern) ? window : nil })
        return model
    }

    static func configuration(_ config: HuggingFaceConfiguration) throws -> ModelConfiguration {
        try refuseWhatIsNotComputed(config)
        var attention = try config.groupedAttention()
        attention.hasQueryKeyNorm = true
        attention.hasBias = try config.boolIfPresent("attention_bias") ?? false
        attention.scale = 1 / Float(try config.floatIfPresent("query_pre_attn_scalar") ?? 256).squareRoot()
        var model = try common(
            config, attention: .grouped(attention), rotary: try rotary(config, headWidth: attention.headWidth))
        let pattern =
            try config.intIfPresent("sliding_window_pattern") ?? config.intIfPresent("_sliding_window_pattern")
            ?? usualPattern
        let windows = try config.windows(layerCount: model.layerCount, window: config.int("sliding_window")) {
            isLocal($0, pattern: pattern)
        }
        try complete(&model, windows: windows)
        return model
    }

    private static func isLocal(_ layer: Int, pattern: Int) -> Bool { pattern < 1 || (layer + 1) % pattern != 0 }

    private static func complete(_ model: inout ModelConfiguration, windows: [Int?]) throws {
        for (index, window) in windows.enumerated() where model.layers.indices.contains(index) {
            model.layers[index] = LayerConfiguration(window: window, rotaryIndex: window == nil ? 0 : 1)
        }
        model.activation = .geluTanh
        model.hasPostNorms = true
        model.embeddingScale = Float(max(0, model.modelWidth)).squareRoot()
    }

    /// Global and local; transformers 5 has the settings of both under their layer types.
    private static func rotary(_ config: HuggingFaceConfiguration, headWidth: Int) throws -> [RotaryConfiguration] {
        if let settings = try config.objectIfPresent("rope_parameters") {
            return try [("full_attention", "rope_theta"), ("sliding_attention", "rope_local_base_freq")].map {
                try config.rotary(
                    settings.objectIfPresent($0.0), base: $0.1, headWidth: headWidth, layout: .halves)
            }
        }
        let local = try config.floatIfPresent("rope_local_base_freq") ?? localBase
        return [
            try config.rotary(headWidth: headWidth, layout: .halves),
            RotaryConfiguration(base: local, width: headWidth, layout: .halves),
        ]
    }

    private static func refuseWhatIsNotComputed(_ config: HuggingFaceConfiguration) throws {
        if try config.boolIfPresent("use_bidirectional_attention") ?? false {
            throw InferenceError.unsupported("use_bidirectional_attention (expected: false)")
        }
    }
}
