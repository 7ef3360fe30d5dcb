import InferenceCore
import ModelFiles

/// The keys of a GGUF file that belong to its architecture: `int("block_count")` reads "llama.block_count".
struct ArchitectureMetadata {
    let metadata: GGUFMetadata
    let prefix: String

    func int(_ key: String) throws -> Int { try metadata.int("\(prefix).\(key)") }
    func float(_ key: String) throws -> Double { try metadata.float("\(prefix).\(key)") }
    func intIfPresent(_ key: String) throws -> Int? { try metadata.intIfPresent("\(prefix).\(key)") }
    func floatIfPresent(_ key: String) throws -> Double? { try metadata.floatIfPresent("\(prefix).\(key)") }
    func boolIfPresent(_ key: String) throws -> Bool? { try metadata.boolIfPresent("\(prefix).\(key)") }

    var modelName: String {
        get throws { try metadata.stringIfPresent("general.name") ?? prefix }
    }

    var vocabularySize: Int {
        get throws { try intIfPresent("vocab_size") ?? metadata.stringArray("tokenizer.ggml.tokens").count }
    }

    /// The heads of grouped attention.
    func groupedAttention() throws -> GroupedAttentionConfiguration {
        let heads = try int("attention.head_count")
        guard heads > 0 else { throw InferenceError.unsupported("\(heads) query heads") }
        let headWidth = try intIfPresent("attention.key_length") ?? int("embedding_length") / heads
        let valueWidth = try intIfPresent("attention.value_length") ?? headWidth
        guard valueWidth == headWidth, headWidth > 0 else {
            throw InferenceError.unsupported(
                "head width \(headWidth), value width \(valueWidth) (expected: equal ones)")
        }
        return GroupedAttentionConfiguration(
            headCount: heads, keyValueHeadCount: try intIfPresent("attention.head_count_kv") ?? heads,
            headWidth: headWidth)
    }

    /// The rotary embedding of heads of `headWidth` values, scaled as the file says.
    ///
    /// YaRN's temperature is taken as in the paper; DeepSeek has its own rules.
    func rotary(headWidth: Int, layout: RotaryConfiguration.Layout) throws -> RotaryConfiguration {
        RotaryConfiguration(
            base: try floatIfPresent("rope.freq_base") ?? 10_000,
            width: try intIfPresent("rope.dimension_count") ?? headWidth, layout: layout, scaling: try rotaryScaling())
    }

    private func rotaryScaling() throws -> RotaryScaling {
        switch try metadata.stringIfPresent("\(prefix).rope.scaling.type") ?? "none" {
        case "none": return .none
        case "linear": return .linear(factor: try float("rope.scaling.factor"))
        case "yarn":
            let factor = try float("rope.scaling.factor")
            let original = try floatIfPresent("rope.scaling.original_context_length") ?? float("context_length")
            let attentionFactor = try floatIfPresent("rope.scaling.attn_factor") ?? 1
            var yarn = YarnScaling(
                factor: factor, originalContextTokens: original,
                magnitude: YarnScaling.temperature(factor: factor) * attentionFactor)
            yarn.betaFast = try floatIfPresent("rope.scaling.yarn_beta_fast") ?? yarn.betaFast
            yarn.betaSlow = try floatIfPresent("rope.scaling.yarn_beta_slow") ?? yarn.betaSlow
            return .yarn(yarn)
        case let other:
            throw InferenceError.unsupported("rope scaling '\(other.prefix(64))' (expected: none, linear or yarn)")
        }
    }
}
