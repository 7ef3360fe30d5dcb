import Foundation
import ModelFiles

/// Turns `config.json` into the metadata keys of a GGUF file, as llama.cpp's converter names them.
struct CheckpointMetadata {
    let architecture: CheckpointArchitecture
    let configuration: ConfigurationJSON
    private(set) var entries: [(key: String, value: GGUFValue)] = []

    init(_ configuration: ConfigurationJSON, name: String) throws {
        self.configuration = configuration
        architecture = try CheckpointArchitecture(configuration)
        entries = [
            ("general.architecture", .string(architecture.rawValue)), ("general.type", .string("model")),
            ("general.name", .string(name)),
        ]
        try addDimensions()
        switch architecture {
        case .bert: try addEncoder()
        case .deepseek2: try addLatentAttention()
        default: try addHeads()
        }
        if architecture != .bert {
            add("attention.layer_norm_rms_epsilon", .float32(Float(try configuration.double("rms_norm_eps"))))
            if let cap = try configuration.doubleIfPresent("final_logit_softcapping") {
                add("final_logit_softcapping", .float32(Float(cap)))
            }
            try addRope()
        }
    }

    /// `H`; `D / H` when the configuration has no width of its own.
    var headCount: Int { get throws { try configuration.size("num_attention_heads") } }
    var keyValueHeadCount: Int {
        get throws { try configuration.sizeIfPresent("num_key_value_heads") ?? headCount }
    }
    var headWidth: Int {
        get throws {
            if let width = try configuration.sizeIfPresent("head_dim") { return width }
            let width = try configuration.size("hidden_size")
            let heads = try headCount
            guard width % heads == 0 else {
                throw ModelToolsError(
                    .malformed, "\(configuration.path): width \(width) is not whole heads of \(heads)")
            }
            return width / heads
        }
    }

    private mutating func add(_ key: String, _ value: GGUFValue) {
        entries.append(("\(architecture.rawValue).\(key)", value))
    }

    private mutating func add(_ key: String, _ value: Int) { add(key, .uint32(UInt32(clamping: value))) }

    private mutating func addDimensions() throws {
        add("block_count", try configuration.size("num_hidden_layers"))
        add("context_length", try configuration.size("max_position_embeddings"))
        add("embedding_length", try configuration.size("hidden_size"))
        add("feed_forward_length", try configuration.size("intermediate_size"))
        add("attention.head_count", try headCount)
        add("vocab_size", try configuration.size("vocab_size"))
    }

    private mutating func addEncoder() throws {
        add("attention.layer_norm_epsilon", .float32(Float(try configuration.double("layer_norm_eps"))))
        add("attention.causal", .bool(false))
        // Mean; a folder that says otherwise is read by the encoder itself.
        add("pooling_type", 1)
    }

    private mutating func addHeads() throws {
        add("attention.head_count_kv", try keyValueHeadCount)
        let width = try headWidth
        add("attention.key_length", width)
        add("attention.value_length", width)
        if architecture == .llama { add("rope.dimension_count", width) }
        if architecture == .gemma3, let window = try configuration.sizeIfPresent("sliding_window") {
            add("attention.sliding_window", window)
            if let pattern = try slidingWindowPattern, pattern != Self.usualPattern {
                add("attention.sliding_window_pattern", pattern)
            }
        }
    }

    /// Keys and values go through a low rank: the cache holds one latent "head" of that rank and the shared rope part.
    private mutating func addLatentAttention() throws {
        let rank = try configuration.size("kv_lora_rank")
        let rope = try configuration.size("qk_rope_head_dim")
        add("attention.head_count_kv", 1)
        if let queryRank = try configuration.sizeIfPresent("q_lora_rank") { add("attention.q_lora_rank", queryRank) }
        add("attention.kv_lora_rank", rank)
        add("attention.key_length", rank + rope)
        add("attention.value_length", rank)
        add("attention.key_length_mla", try configuration.size("qk_nope_head_dim") + rope)
        add("attention.value_length_mla", try configuration.size("v_head_dim"))
        add("rope.dimension_count", rope)
        try addExperts()
    }

    private mutating func addExperts() throws {
        let isThird = try configuration.stringIfPresent("model_type") == "deepseek_v3"
        add("leading_dense_block_count", try configuration.intIfPresent("first_k_dense_replace") ?? 0)
        add("expert_count", try configuration.size("n_routed_experts"))
        add("expert_used_count", try configuration.size("num_experts_per_tok"))
        add("expert_shared_count", try configuration.intIfPresent("n_shared_experts") ?? 0)
        add("expert_feed_forward_length", try configuration.size("moe_intermediate_size"))
        add("expert_weights_scale", .float32(Float(try configuration.doubleIfPresent("routed_scaling_factor") ?? 1)))
        // DeepSeek-V2 never normalises, whatever its flag says.
        if isThird, try configuration.boolIfPresent("norm_topk_prob") ?? true {
            add("expert_weights_norm", .bool(true))
        }
        // Groups that take no part in the choice are no groups.
        let isGrouped = try isThird || configuration.stringIfPresent("topk_method") == "group_limited_greedy"
        if let groups = try configuration.sizeIfPresent("n_group") { add("expert_group_count", isGrouped ? groups : 1) }
        if let used = try configuration.sizeIfPresent("topk_group") {
            add("expert_group_used_count", isGrouped ? used : 1)
        }
        switch try configuration.stringIfPresent("scoring_func") ?? (isThird ? "sigmoid" : "softmax") {
        case "softmax": add("expert_gating_func", 1)
        case "sigmoid": add("expert_gating_func", 2)
        case let other: throw ModelToolsError(.unsupported, "\(configuration.path): scoring_func \(other.prefix(64))")
        }
    }

    // MARK: - Rope

    /// `rope_scaling` (older) or `rope_parameters` (newer); Gemma's newer form has one for each kind of layer.
    var ropeScaling: ConfigurationJSON? {
        get throws {
            if let scaling = try configuration.objectIfPresent("rope_scaling") { return scaling }
            guard let parameters = try configuration.objectIfPresent("rope_parameters") else { return nil }
            return try parameters.objectIfPresent("full_attention") ?? parameters
        }
    }

    var ropeBase: Double {
        get throws {
            try configuration.doubleIfPresent("rope_theta") ?? ropeScaling?.doubleIfPresent("rope_theta")
                ?? (architecture == .gemma3 ? 1_000_000 : 10_000)
        }
    }

    private mutating func addRope() throws {
        add("rope.freq_base", .float32(Float(try ropeBase)))
        if architecture == .gemma3 {
            let sliding = try configuration.objectIfPresent("rope_parameters")?.objectIfPresent("sliding_attention")
            let local =
                try configuration.doubleIfPresent("rope_local_base_freq") ?? sliding?.doubleIfPresent("rope_theta")
                ?? 10_000
            add("rope.freq_base_swa", .float32(Float(local)))
        }
        guard let scaling = try ropeScaling else { return }
        switch try scaling.stringIfPresent("rope_type") ?? scaling.stringIfPresent("type") ?? "default" {
        case "default", "llama3": return  // llama3 becomes a tensor of factors
        case "linear":
            add("rope.scaling.type", .string("linear"))
            add("rope.scaling.factor", .float32(Float(try scaling.double("factor"))))
        case "yarn":
            try addYarn(scaling)
        case let other: throw ModelToolsError(.unsupported, "\(configuration.path): rope scaling \(other.prefix(64))")
        }
    }

    private mutating func addYarn(_ scaling: ConfigurationJSON) throws {
        add("rope.scaling.type", .string("yarn"))
        add("rope.scaling.factor", .float32(Float(try scaling.double("factor"))))
        add("rope.scaling.original_context_length", try scaling.size("original_max_position_embeddings"))
        if let fast = try scaling.doubleIfPresent("beta_fast") {
            add("rope.scaling.yarn_beta_fast", .float32(Float(fast)))
        }
        if let slow = try scaling.doubleIfPresent("beta_slow") {
            add("rope.scaling.yarn_beta_slow", .float32(Float(slow)))
        }
        if architecture == .deepseek2, let mscale = try scaling.doubleIfPresent("mscale_all_dim") {
            add("rope.scaling.yarn_log_multiplier", .float32(Float(0.1 * mscale)))
        }
        let attentionFactor = try yarnAttentionFactor(scaling)
        if abs(attentionFactor - 1) > 1e-6 {
            add("rope.scaling.attn_factor", .float32(Float(attentionFactor)))
        }
    }

    /// What cosines and sines are multiplied by beyond what a reader of the file takes for granted: the temperature of the
    /// YaRN paper, or nothing in DeepSeek's models.
    private func yarnAttentionFactor(_ scaling: ConfigurationJSON) throws -> Double {
        let factor = try scaling.double("factor")
        func temperature(_ scale: Double) -> Double { factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1 }
        let scale = try scaling.doubleIfPresent("mscale") ?? 0
        let scaleAll = try scaling.doubleIfPresent("mscale_all_dim") ?? 0
        let magnitude =
            try scaling.doubleIfPresent("attention_factor")
            ?? (scale != 0 && scaleAll != 0 ? temperature(scale) / temperature(scaleAll) : temperature(1))
        return architecture == .deepseek2 ? magnitude : magnitude / temperature(1)
    }
}
