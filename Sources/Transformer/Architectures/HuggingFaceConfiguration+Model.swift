import InferenceCore
import Kernels

// What config.json files of several families say in the same way.
extension HuggingFaceConfiguration {
    /// The gate's activation.
    func activation() throws -> GateActivation {
        switch try stringIfPresent("hidden_activation") ?? stringIfPresent("hidden_act") ?? "silu" {
        case "silu", "swish": return .silu
        case "gelu_pytorch_tanh": return .geluTanh
        case let other:
            throw InferenceError.unsupported("activation '\(other.prefix(64))' (expected: silu or gelu_pytorch_tanh)")
        }
    }

    /// The heads of grouped attention.
    func groupedAttention() throws -> GroupedAttentionConfiguration {
        let heads = try int("num_attention_heads")
        guard heads > 0 else { throw InferenceError.unsupported("\(heads) query heads") }
        let headWidth = try intIfPresent("head_dim") ?? int("hidden_size") / heads
        guard headWidth > 0 else { throw InferenceError.unsupported("head width \(headWidth)") }
        return GroupedAttentionConfiguration(
            headCount: heads, keyValueHeadCount: try intIfPresent("num_key_value_heads") ?? heads, headWidth: headWidth)
    }

    /// The rotary embedding of heads of `headWidth` values: `rope_scaling` beside `rope_theta` as transformers 4 writes
    /// it, or `rope_parameters` as transformers 5 does.
    func rotary(headWidth: Int, layout: RotaryConfiguration.Layout) throws -> RotaryConfiguration {
        let settings = try objectIfPresent("rope_parameters") ?? objectIfPresent("rope_scaling")
        return try rotary(settings, base: "rope_theta", headWidth: headWidth, layout: layout)
    }

    /// - Parameters:
    ///   - settings: where scaling is described; nil: there is none.
    ///   - base: the key of the base, looked up in the settings and then here.
    func rotary(
        _ settings: HuggingFaceConfiguration?, base: String, headWidth: Int, layout: RotaryConfiguration.Layout
    ) throws -> RotaryConfiguration {
        let share =
            try settings?.floatIfPresent("partial_rotary_factor") ?? floatIfPresent("partial_rotary_factor") ?? 1
        guard share > 0, share <= 1 else { throw InferenceError.unsupported("partial_rotary_factor \(share)") }
        return RotaryConfiguration(
            base: try settings?.floatIfPresent("rope_theta") ?? floatIfPresent(base) ?? 10_000,
            width: Int(Double(headWidth) * share), layout: layout, scaling: try rotaryScaling(settings))
    }

    private func rotaryScaling(_ settings: HuggingFaceConfiguration?) throws -> RotaryScaling {
        guard let settings else { return .none }
        switch try settings.stringIfPresent("rope_type") ?? settings.stringIfPresent("type") ?? "default" {
        case "default": return .none
        case "linear": return .linear(factor: try settings.float("factor"))
        case "llama3":
            return .llama3(
                Llama3Scaling(
                    factor: try settings.float("factor"),
                    lowFrequencyFactor: try settings.float("low_freq_factor"),
                    highFrequencyFactor: try settings.float("high_freq_factor"),
                    originalContextTokens: try settings.float("original_max_position_embeddings")))
        case "yarn": return .yarn(try yarn(settings))
        case let other:
            throw InferenceError.unsupported(
                "rope type '\(other.prefix(64))' (expected: default, linear, llama3 or yarn)")
        }
    }

    private func yarn(_ settings: HuggingFaceConfiguration) throws -> YarnScaling {
        let factor = try settings.float("factor")
        let original =
            try settings.floatIfPresent("original_max_position_embeddings") ?? float("max_position_embeddings")
        let scale = try settings.floatIfPresent("mscale") ?? 0
        let scaleAll = try settings.floatIfPresent("mscale_all_dim") ?? 0
        // With both, the part that all dimensions share is in the scale of the scores.
        let magnitude =
            scale != 0 && scaleAll != 0
            ? YarnScaling.temperature(factor: factor, scale: scale)
                / YarnScaling.temperature(factor: factor, scale: scaleAll)
            : YarnScaling.temperature(factor: factor)
        var yarn = YarnScaling(
            factor: factor, originalContextTokens: original,
            magnitude: try settings.floatIfPresent("attention_factor") ?? magnitude)
        yarn.betaFast = try settings.floatIfPresent("beta_fast") ?? yarn.betaFast
        yarn.betaSlow = try settings.floatIfPresent("beta_slow") ?? yarn.betaSlow
        if try settings.boolIfPresent("truncate") == false {
            throw InferenceError.unsupported("YaRN with truncate false (expected: true)")
        }
        return yarn
    }

    /// The window of each layer, where the model slides one.
    ///
    /// - Parameter isWindowed: which layers do when `layer_types` does not say.
    func windows(layerCount: Int, window: Int?, isWindowed: (Int) -> Bool) throws -> [Int?] {
        guard let window else { return Array(repeating: nil, count: max(0, layerCount)) }
        guard let types = try stringsIfPresent("layer_types") else {
            return (0..<max(0, layerCount)).map { isWindowed($0) ? window : nil }
        }
        guard types.count == layerCount else {
            throw InferenceError.unsupported("\(types.count) layer_types for \(layerCount) layers")
        }
        return try types.map { type in
            switch type {
            case "full_attention": nil
            case "sliding_attention": window
            default:
                throw InferenceError.unsupported(
                    "layer type '\(type.prefix(64))' (expected: full_attention or sliding_attention)")
            }
        }
    }
}
