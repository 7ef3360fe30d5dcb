import InferenceCore

/// DeepSeek-V2, V3, R1 and the Lite models: latent attention and, after the first layers, a mixture of experts.
enum DeepSeek: Architecture {
    static let name = "deepseek2"
    static let modelTypes = ["deepseek_v2", "deepseek_v3"]
    static let layerParts = [
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q", "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm",
        "self_attn.q_b_proj": "attn_q_b", "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
        "self_attn.kv_a_layernorm": "attn_kv_a_norm", "self_attn.kv_b_proj": "attn_kv_b",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
        "mlp.gate": "ffn_gate_inp", "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
        "mlp.experts.gate_proj": "ffn_gate_exps", "mlp.experts.up_proj": "ffn_up_exps",
        "mlp.experts.down_proj": "ffn_down_exps",
        "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp",
        "mlp.shared_experts.down_proj": "ffn_down_shexp",
    ]

    // MARK: - GGUF

    static func configuration(_ metadata: ArchitectureMetadata) throws -> ModelConfiguration {
        let keyWidth = try metadata.intIfPresent("attention.key_length_mla") ?? metadata.int("attention.key_length")
        let rotaryWidth = try metadata.int("rope.dimension_count")
        let (plainWidth, overflow) = keyWidth.subtractingReportingOverflow(rotaryWidth)
        guard !overflow else { throw InferenceError.unsupported("key width \(keyWidth), rotary \(rotaryWidth)") }
        var rotary = try metadata.rotary(headWidth: rotaryWidth, layout: .interleaved)
        var latent = LatentAttentionConfiguration(
            headCount: try metadata.int("attention.head_count"),
            queryRank: try metadata.intIfPresent("attention.q_lora_rank").flatMap { $0 > 0 ? $0 : nil },
            latentWidth: try metadata.int("attention.kv_lora_rank"), plainWidth: plainWidth,
            rotaryWidth: rotaryWidth,
            valueWidth: try metadata.intIfPresent("attention.value_length_mla")
                ?? metadata.int("attention.value_length"),
            scale: 1 / Float(max(1, keyWidth)).squareRoot())
        if case .yarn(var yarn) = rotary.scaling {
            // The file has 0.1 * mscale_all_dim. In cosines and sines it cancels with mscale, unless the file says otherwise.
            let multiplier = try metadata.floatIfPresent("rope.scaling.yarn_log_multiplier") ?? 0
            let temperature = YarnScaling.temperature(factor: yarn.factor, scale: multiplier * 10)
            latent.scale *= Float(temperature * temperature)
            yarn.magnitude = try metadata.floatIfPresent("rope.scaling.attn_factor") ?? 1
            rotary.scaling = .yarn(yarn)
        }
        var model = try common(metadata, attention: .latent(latent), rotary: [rotary])
        model.experts = try experts(metadata)
        return model
    }

    private static func experts(_ metadata: ArchitectureMetadata) throws -> ExpertConfiguration? {
        guard let count = try metadata.intIfPresent("expert_count"), count > 0 else { return nil }
        let scoring = try scoring(code: metadata.intIfPresent("expert_gating_func") ?? 1)
        let width = try metadata.int("expert_feed_forward_length")
        let shared = try metadata.intIfPresent("expert_shared_count") ?? 0
        return ExpertConfiguration(
            count: count, usedCount: try metadata.int("expert_used_count"), width: width,
            sharedWidth: try product(width, shared), scoring: scoring,
            groupCount: max(1, try metadata.intIfPresent("expert_group_count") ?? 1),
            usedGroupCount: max(1, try metadata.intIfPresent("expert_group_used_count") ?? 1),
            groupScore: scoring == .sigmoid ? .sumOfTwoBest : .best,
            isNormalized: try metadata.boolIfPresent("expert_weights_norm") ?? false,
            weightScale: Float(try metadata.floatIfPresent("expert_weights_scale") ?? 1),
            hasChoiceBias: scoring == .sigmoid,
            leadingDenseLayers: try metadata.intIfPresent("leading_dense_block_count") ?? 0)
    }

    private static func scoring(code: Int) throws -> ExpertConfiguration.Scoring {
        switch code {
        case 1: return .softmax
        case 2: return .sigmoid
        default: throw InferenceError.unsupported("expert gating \(code) (expected: 1, softmax, or 2, sigmoid)")
        }
    }

    /// Of two counts of a file; what is out of bounds is refused later.
    private static func product(_ a: Int, _ b: Int) throws -> Int {
        let (result, overflow) = a.multipliedReportingOverflow(by: b)
        guard !overflow else { throw InferenceError.unsupported("\(b) shared experts of width \(a)") }
        return result
    }

    // MARK: - config.json

    static func configuration(_ config: HuggingFaceConfiguration) throws -> ModelConfiguration {
        let plain = try config.int("qk_nope_head_dim")
        let rotaryWidth = try config.int("qk_rope_head_dim")
        let isInterleaved = try config.boolIfPresent("rope_interleave") ?? true
        let rotary = try config.rotary(headWidth: rotaryWidth, layout: isInterleaved ? .interleaved : .halves)
        let (keyWidth, overflow) = plain.addingReportingOverflow(rotaryWidth)
        guard !overflow, keyWidth > 0 else { throw InferenceError.unsupported("key width \(plain) + \(rotaryWidth)") }
        var latent = LatentAttentionConfiguration(
            headCount: try config.int("num_attention_heads"), queryRank: try config.intIfPresent("q_lora_rank"),
            latentWidth: try config.int("kv_lora_rank"), plainWidth: plain, rotaryWidth: rotaryWidth,
            valueWidth: try config.int("v_head_dim"), scale: 1 / Float(keyWidth).squareRoot())
        if case .yarn(let yarn) = rotary.scaling {
            let settings = try config.objectIfPresent("rope_parameters") ?? config.objectIfPresent("rope_scaling")
            let scale = try settings?.floatIfPresent("mscale_all_dim") ?? 0
            let temperature = YarnScaling.temperature(factor: yarn.factor, scale: scale)
            latent.scale *= Float(temperature * temperature)
        }
        var model = try common(config, attention: .latent(latent), rotary: [rotary])
        model.experts = try experts(config)
        return model
    }

    private static func experts(_ config: HuggingFaceConfiguration) throws -> ExpertConfiguration? {
        guard let count = try config.intIfPresent("n_routed_experts"), count > 0 else { return nil }
        guard try config.intIfPresent("moe_layer_freq") ?? 1 == 1 else {
            throw InferenceError.unsupported("moe_layer_freq other than 1")
        }
        let isThird = try config.string("model_type") == "deepseek_v3"
        let width = try config.int("moe_intermediate_size")
        let shared = try config.intIfPresent("n_shared_experts") ?? 0
        var experts = ExpertConfiguration(
            count: count, usedCount: try config.int("num_experts_per_tok"), width: width,
            sharedWidth: try product(width, shared), scoring: isThird ? .sigmoid : .softmax,
            // V2's own models never normalise, and transformers does not look at its flag.
            isNormalized: isThird ? try config.boolIfPresent("norm_topk_prob") ?? true : false,
            weightScale: Float(try config.floatIfPresent("routed_scaling_factor") ?? 1), hasChoiceBias: isThird,
            leadingDenseLayers: try config.intIfPresent("first_k_dense_replace") ?? 0)
        try chooseGroups(config, isThird: isThird, &experts)
        return experts
    }

    private static func chooseGroups(
        _ config: HuggingFaceConfiguration, isThird: Bool, _ experts: inout ExpertConfiguration
    ) throws {
        let scoring = try config.stringIfPresent("scoring_func") ?? (isThird ? "sigmoid" : "softmax")
        let method = try config.stringIfPresent("topk_method") ?? (isThird ? "noaux_tc" : "greedy")
        switch (scoring, method, isThird) {
        case ("softmax", "greedy", false): return
        case ("softmax", "group_limited_greedy", false): experts.groupScore = .best
        case ("sigmoid", "noaux_tc", true): experts.groupScore = .sumOfTwoBest
        default:
            throw InferenceError.unsupported(
                "experts by \(scoring.prefix(64)) and \(method.prefix(64)) (expected: softmax with greedy or "
                    + "group_limited_greedy in deepseek_v2, sigmoid with noaux_tc in deepseek_v3)")
        }
        experts.groupCount = try config.intIfPresent("n_group") ?? 1
        experts.usedGroupCount = try config.intIfPresent("topk_group") ?? 1
    }
}
