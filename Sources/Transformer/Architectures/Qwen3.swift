/// Qwen3: Llama with a norm on each head's query and key.
enum Qwen3: Architecture {
    static let name = "qwen3"
    static let modelTypes = ["qwen3"]
    static let layerParts = Llama.layerParts.merging(
        ["self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"]
    ) { first, _ in first }

    static func configuration(_ metadata: ArchitectureMetadata) throws -> ModelConfiguration {
        var attention = try metadata.groupedAttention()
        attention.hasQueryKeyNorm = true
        let rotary = try metadata.rotary(headWidth: attention.headWidth, layout: .halves)
        return try common(metadata, attention: .grouped(attention), rotary: [rotary])
    }

    static func configuration(_ config: HuggingFaceConfiguration) throws -> ModelConfiguration {
        var attention = try config.groupedAttention()
        attention.hasQueryKeyNorm = true
        attention.hasBias = try config.boolIfPresent("attention_bias") ?? false
        let rotary = try config.rotary(headWidth: attention.headWidth, layout: .halves)
        var model = try common(config, attention: .grouped(attention), rotary: [rotary])
        try Qwen2.applyWindow(config, to: &model)
        return model
    }
}
