/// Tensor names as GGUF files have them, which are this module's own.
package enum TensorName {
    package static let tokenEmbedding = "token_embd.weight"
    package static let outputNorm = "output_norm.weight"
    package static let output = "output.weight"
    package static let ropeFrequencyFactors = "rope_freqs.weight"

    static let outsideLayers: Set<String> = [tokenEmbedding, outputNorm, output, ropeFrequencyFactors]

    package static func layer(_ index: Int, _ part: String) -> String { "blk.\(index).\(part).weight" }
    static func bias(_ index: Int, _ part: String) -> String { "blk.\(index).\(part).bias" }

    /// The layer a name such as "blk.7.attn_q.weight" belongs to, or nil for the tensors outside all layers.
    package static func layerIndex(of name: String) -> Int? {
        let parts = name.split(separator: ".", maxSplits: 2)
        guard parts.count == 3, parts[0] == "blk" else { return nil }
        return Int(parts[1])
    }

    /// "attn_q.weight" of "blk.7.attn_q.weight".
    static func part(of name: String) -> String {
        name.split(separator: ".", maxSplits: 2).last.map(String.init) ?? name
    }
}

/// The tensors a layer may consist of. A file that holds any other describes a computation this engine does not do.
enum LayerParts {
    static func names(_ model: ModelConfiguration, layer: Int) -> Set<String> {
        var names = weights(["attn_norm", "attn_output", "ffn_norm"])
        if model.hasPostNorms { names.formUnion(weights(["post_attention_norm", "post_ffw_norm"])) }
        switch model.attention {
        case .grouped(let grouped):
            names.formUnion(weights(["attn_q", "attn_k", "attn_v"]))
            if grouped.hasBias { names.formUnion(["attn_q.bias", "attn_k.bias", "attn_v.bias"]) }
            if grouped.hasQueryKeyNorm { names.formUnion(weights(["attn_q_norm", "attn_k_norm"])) }
        case .latent(let latent):
            names.formUnion(weights(["attn_kv_a_mqa", "attn_kv_a_norm", "attn_kv_b", "attn_k_b", "attn_v_b"]))
            names.formUnion(
                weights(latent.queryRank == nil ? ["attn_q"] : ["attn_q_a", "attn_q_a_norm", "attn_q_b"]))
        }
        guard model.hasExperts(layer: layer), let experts = model.experts else {
            return names.union(weights(["ffn_gate", "ffn_up", "ffn_down"]))
        }
        names.formUnion(weights(["ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"]))
        if experts.hasChoiceBias { names.insert("exp_probs_b.bias") }
        if experts.sharedWidth > 0 {
            names.formUnion(weights(["ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"]))
        }
        return names
    }

    private static func weights(_ parts: [String]) -> Set<String> { Set(parts.map { $0 + ".weight" }) }
}
