/// Llama, and what has its shape: DeepSeek-LLM, DeepSeek-Coder, R1-Distill-Llama, SmolLM2.
enum Llama: Architecture {
    static let name = "llama"
    static let modelTypes = ["llama"]

    static let layerParts = [
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    ]

    /// GGUF converters reorder the rows of queries and keys so that pairs are neighbours.
    static func configuration(_ metadata: ArchitectureMetadata) throws -> ModelConfiguration {
        let attention = try metadata.groupedAttention()
        let rotary = try metadata.rotary(headWidth: attention.headWidth, layout: .interleaved)
        return try common(metadata, attention: .grouped(attention), rotary: [rotary])
    }

    static func configuration(_ config: HuggingFaceConfiguration) throws -> ModelConfiguration {
        var attention = try config.groupedAttention()
        attention.hasBias = try config.boolIfPresent("attention_bias") ?? false
        let rotary = try config.rotary(headWidth: attention.headWidth, layout: .halves)
        return try common(config, attention: .grouped(attention), rotary: [rotary])
    }
}
