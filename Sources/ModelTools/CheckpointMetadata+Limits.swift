/// What GGUF files of an architecture leave unsaid: readers take it for granted, so a model that differs must not become
/// such a file.
extension CheckpointMetadata {
    /// Every so many layers of Gemma 3 one sees everything, unless the file says otherwise.
    static let usualPattern = 6
    /// Gemma 3 27B alone scales scores by its width per head; readers know it by its layers.
    private static let layersOf27B = 62

    /// - Throws: ``ModelToolsError`` `unsupported`, naming the setting.
    func refuseWhatIsNotStored() throws {
        try require("hidden_act", isUsual: architecture == .gemma3 || hasSiLU)
        try require("partial_rotary_factor", isUsual: configuration.doubleIfPresent("partial_rotary_factor") ?? 1 == 1)
        try require("rope truncate", isUsual: ropeScaling?.boolIfPresent("truncate") ?? true)
        try require(
            "attn_logit_softcapping", isUsual: configuration.doubleIfPresent("attn_logit_softcapping") == nil)
        switch architecture {
        case .gemma3:
            try require("query_pre_attn_scalar", isUsual: hasUsualScale)
            try require("layer_types", isUsual: slidingWindowPattern != nil)
        case .deepseek2:
            try require("moe_layer_freq", isUsual: configuration.intIfPresent("moe_layer_freq") ?? 1 == 1)
            try require("rope_interleave", isUsual: configuration.boolIfPresent("rope_interleave") ?? true)
        case .qwen2, .qwen3:
            try require("use_sliding_window", isUsual: !(configuration.boolIfPresent("use_sliding_window") ?? false))
        case .llama, .bert: break
        }
    }

    /// The period of Gemma 3's layers that see everything, each the last of its period; nil when they have none.
    var slidingWindowPattern: Int? {
        get throws {
            guard let types = configuration.value("layer_types") as? [String] else {
                return try configuration.sizeIfPresent("sliding_window_pattern")
                    ?? configuration.sizeIfPresent("_sliding_window_pattern") ?? Self.usualPattern
            }
            return ([Self.usualPattern] + Array(1...types.count + 1)).first { pattern in
                types.indices.allSatisfy { (types[$0] == "full_attention") == (($0 + 1) % pattern == 0) }
            }
        }
    }

    private var hasUsualScale: Bool {
        get throws {
            let scalar = try configuration.doubleIfPresent("query_pre_attn_scalar") ?? 256
            guard try configuration.size("num_hidden_layers") == Self.layersOf27B else {
                return try scalar == Double(headWidth)
            }
            return try scalar == Double(configuration.size("hidden_size") / headCount)
        }
    }

    private var hasSiLU: Bool {
        get throws { try ["silu", "swish"].contains(configuration.stringIfPresent("hidden_act") ?? "silu") }
    }

    private func require(_ setting: String, isUsual: Bool) throws {
        guard isUsual else {
            throw ModelToolsError(
                .unsupported,
                "\(configuration.path): GGUF files of \(architecture.rawValue) models have no place for its \(setting)")
        }
    }
}
