import Foundation
import ModelFiles
import Tensors

/// Turns a safetensors folder into what a GGUF file of the same model holds, as llama.cpp expects it: its names, rope
/// pairs side by side for the llama family, Gemma's norms as factors, the latent projections of DeepSeek split by use,
/// experts stacked.
package struct CheckpointConverter {
    let checkpoint: SafetensorsCheckpoint
    let configuration: ConfigurationJSON
    let metadata: CheckpointMetadata
    private let preTokenizer: String?

    /// - Parameter preTokenizer: name of the pre-tokeniser where the folder's cannot be told.
    /// - Throws: ``ModelToolsError`` for an architecture that cannot be converted or a configuration without its sizes.
    package init(_ checkpoint: SafetensorsCheckpoint, preTokenizer: String? = nil) throws {
        self.checkpoint = checkpoint
        self.preTokenizer = preTokenizer
        configuration = try ConfigurationJSON(checkpoint.configuration, path: checkpoint.path + "/config.json")
        let name = URL(fileURLWithPath: checkpoint.path).standardizedFileURL.lastPathComponent
        metadata = try CheckpointMetadata(configuration, name: name)
    }

    /// The metadata without the tokeniser; enough to describe the model.
    package var dimensions: GGUFMetadata {
        GGUFMetadata(
            Dictionary(metadata.entries.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }), source: checkpoint.path)
    }

    /// The whole model, tokeniser included.
    ///
    /// - Throws: ``ModelToolsError``, `ModelFileError`, naming the tensor or key.
    package func plan() throws -> ModelPlan {
        guard metadata.architecture != .bert else {
            throw ModelToolsError(
                .unsupported, "\(checkpoint.path): encoders are served from their folder; there is no GGUF form of them"
            )
        }
        try metadata.refuseWhatIsNotStored()
        let layers = try configuration.size("num_hidden_layers")
        var tensors: [PlannedTensor] = []
        if let factors = try ropeFactors() { tensors.append(factors) }
        tensors.append(try copy("model.embed_tokens.weight", "token_embd.weight"))
        for layer in 0..<layers { tensors += try self.layer(layer) }
        tensors.append(try norm("model.norm.weight", "output_norm.weight"))
        if checkpoint.contains("lm_head.weight"), try configuration.boolIfPresent("tie_word_embeddings") != true {
            tensors.append(try copy("lm_head.weight", "output.weight"))
        }
        try checkAllUsed(layers: layers)
        let tokenizer = try CheckpointTokenizer(
            directory: checkpoint.path, configuration: configuration,
            vocabularySize: configuration.size("vocab_size"), preTokenizer: preTokenizer)
        return ModelPlan(source: checkpoint.path, metadata: metadata.entries + tokenizer.entries, tensors: tensors)
    }

    // MARK: - Layers

    private func layer(_ index: Int) throws -> [PlannedTensor] {
        let source = "model.layers.\(index)"
        let target = "blk.\(index)"
        var tensors = [try norm("\(source).input_layernorm.weight", "\(target).attn_norm.weight")]
        tensors +=
            metadata.architecture == .deepseek2
            ? try latentAttention("\(source).self_attn", target) : try attention("\(source).self_attn", target)
        if metadata.architecture == .gemma3 {
            tensors.append(
                try norm("\(source).post_attention_layernorm.weight", "\(target).post_attention_norm.weight"))
            tensors.append(try norm("\(source).pre_feedforward_layernorm.weight", "\(target).ffn_norm.weight"))
            tensors.append(try norm("\(source).post_feedforward_layernorm.weight", "\(target).post_ffw_norm.weight"))
        } else {
            tensors.append(try norm("\(source).post_attention_layernorm.weight", "\(target).ffn_norm.weight"))
        }
        return tensors + (try feedForward("\(source).mlp", target))
    }

    private func attention(_ source: String, _ target: String) throws -> [PlannedTensor] {
        let isPaired = metadata.architecture == .llama
        let heads = try metadata.headCount
        let keyHeads = try metadata.keyValueHeadCount
        var tensors: [PlannedTensor] = []
        for (part, name, count) in [("q", "attn_q", heads), ("k", "attn_k", keyHeads), ("v", "attn_v", 0)] {
            for suffix in ["weight", "bias"]
            where suffix == "weight" || checkpoint.contains("\(source).\(part)_proj.bias") {
                let view = try checkpoint.tensor("\(source).\(part)_proj.\(suffix)")
                let name = "\(target).\(name).\(suffix)"
                tensors.append(
                    isPaired && count > 0
                        ? try TensorTransform.pairedRope(view, name: name, heads: count)
                        : PlannedTensor(view, name: name))
            }
            let normName = "\(source).\(part)_norm.weight"
            if checkpoint.contains(normName) {
                tensors.append(try norm(normName, "\(target).\(name)_norm.weight"))
            }
        }
        tensors.append(try copy("\(source).o_proj.weight", "\(target).attn_output.weight"))
        if checkpoint.contains("\(source).o_proj.bias") {
            tensors.append(try copy("\(source).o_proj.bias", "\(target).attn_output.bias"))
        }
        return tensors
    }

    private func latentAttention(_ source: String, _ target: String) throws -> [PlannedTensor] {
        var tensors: [PlannedTensor] = []
        if checkpoint.contains("\(source).q_a_proj.weight") {
            tensors.append(try copy("\(source).q_a_proj.weight", "\(target).attn_q_a.weight"))
            tensors.append(try norm("\(source).q_a_layernorm.weight", "\(target).attn_q_a_norm.weight"))
            tensors.append(try copy("\(source).q_b_proj.weight", "\(target).attn_q_b.weight"))
        } else {
            tensors.append(try copy("\(source).q_proj.weight", "\(target).attn_q.weight"))
        }
        tensors.append(try copy("\(source).kv_a_proj_with_mqa.weight", "\(target).attn_kv_a_mqa.weight"))
        tensors.append(try norm("\(source).kv_a_layernorm.weight", "\(target).attn_kv_a_norm.weight"))
        tensors += try TensorTransform.latentProjections(
            checkpoint.tensor("\(source).kv_b_proj.weight"), prefix: target, heads: metadata.headCount,
            keyWidth: configuration.size("qk_nope_head_dim"), valueWidth: configuration.size("v_head_dim"))
        tensors.append(try copy("\(source).o_proj.weight", "\(target).attn_output.weight"))
        return tensors
    }

    private static let feedForwardParts = [("gate_proj", "ffn_gate"), ("up_proj", "ffn_up"), ("down_proj", "ffn_down")]

    private func feedForward(_ source: String, _ target: String) throws -> [PlannedTensor] {
        guard checkpoint.contains("\(source).gate.weight") else {
            return try Self.feedForwardParts.map { try copy("\(source).\($0).weight", "\(target).\($1).weight") }
        }
        let experts = try configuration.size("n_routed_experts")
        var tensors = [try copy("\(source).gate.weight", "\(target).ffn_gate_inp.weight")]
        if checkpoint.contains("\(source).gate.e_score_correction_bias") {
            tensors.append(try copy("\(source).gate.e_score_correction_bias", "\(target).exp_probs_b.bias"))
        }
        for (part, name) in Self.feedForwardParts {
            let views = try (0..<experts).map { try checkpoint.tensor("\(source).experts.\($0).\(part).weight") }
            tensors.append(try TensorTransform.stacked(views, name: "\(target).\(name)_exps.weight"))
            if checkpoint.contains("\(source).shared_experts.\(part).weight") {
                tensors.append(try copy("\(source).shared_experts.\(part).weight", "\(target).\(name)_shexp.weight"))
            }
        }
        return tensors
    }

    // MARK: - Parts

    private func copy(_ source: String, _ target: String) throws -> PlannedTensor {
        PlannedTensor(try checkpoint.tensor(source), name: target)
    }

    /// Gemma stores w where the factor is 1 + w.
    private func norm(_ source: String, _ target: String) throws -> PlannedTensor {
        let view = try checkpoint.tensor(source)
        return metadata.architecture == .gemma3
            ? TensorTransform.plusOne(view, name: target) : PlannedTensor(view, name: target)
    }

    /// The divisors of the rotary frequencies that Llama 3's scaling amounts to; nil when it is not used.
    private func ropeFactors() throws -> PlannedTensor? {
        guard let scaling = try metadata.ropeScaling,
            try scaling.stringIfPresent("rope_type") ?? scaling.stringIfPresent("type") == "llama3"
        else { return nil }
        let factors = try TensorTransform.llama3Factors(
            headWidth: metadata.headWidth, base: metadata.ropeBase, factor: scaling.double("factor"),
            low: scaling.double("low_freq_factor"), high: scaling.double("high_freq_factor"),
            originalContext: scaling.double("original_max_position_embeddings"))
        return PlannedTensor(name: "rope_freqs.weight", values: factors)
    }

    /// A tensor that nothing reads means a model with a part this converter does not know; the result would be wrong.
    private func checkAllUsed(layers: Int) throws {
        let known = [
            "input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm",
            "self_attn", "mlp",
        ]
        for name in checkpoint.tensorNames {
            let parts = name.split(separator: ".")
            if parts.count > 3, parts[0] == "model", parts[1] == "layers", let layer = Int(parts[2]) {
                // Layers beyond the last predict further tokens; a plain forward does not use them.
                if layer >= layers || known.contains(String(parts[3])) || name.hasSuffix("rotary_emb.inv_freq") {
                    continue
                }
            } else if ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"].contains(name) {
                continue
            }
            throw ModelToolsError(.unsupported, "\(checkpoint.path): tensor \(name) has no place in this architecture")
        }
    }
}
