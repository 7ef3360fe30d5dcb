import InferenceCore
import ModelFiles

/// What the tensors of a file are called there, by the names GGUF files have for them.
struct CanonicalNames {
    private(set) var names: [String: String] = [:]
    /// Matrices of which there is a tensor for each expert.
    private(set) var experts: [String: [Int: String]] = [:]

    init(gguf file: GGUFFile) {
        for name in file.tensorNames { names[name] = name }
    }

    /// Of a safetensors checkpoint, "model.layers.7.mlp.experts.3.up_proj.weight" and the like.
    ///
    /// - Parameters:
    ///   - layerParts: ours by theirs.
    ///   - layerCount: later layers predict further tokens and are no part of a plain forward pass.
    /// - Throws: ``InferenceError`` `unsupportedModel` for a tensor that is none of the model's.
    init(checkpoint: SafetensorsCheckpoint, layerParts: [String: String], layerCount: Int) throws {
        for stored in checkpoint.tensorNames {
            if let outside = Self.outsideLayers[stored] {
                names[outside] = stored
                continue
            }
            guard let name = LayerTensorName(stored) else { throw Self.unknown(stored) }
            if name.layer >= layerCount || Self.harmless.contains(name.part) { continue }
            guard let part = layerParts[name.part] else { throw Self.unknown(stored) }
            // Parts that name their suffix themselves have none there.
            let ours = name.suffix.map { "blk.\(name.layer).\(part).\($0)" } ?? "blk.\(name.layer).\(part)"
            if let expert = name.expert {
                experts[ours, default: [:]][expert] = stored
            } else {
                names[ours] = stored
            }
        }
    }

    private static let outsideLayers = [
        "model.embed_tokens.weight": TensorName.tokenEmbedding, "model.norm.weight": TensorName.outputNorm,
        "lm_head.weight": TensorName.output,
    ]
    /// Constants that older files store.
    private static let harmless: Set<String> = ["self_attn.rotary_emb.inv_freq"]

    private static func unknown(_ stored: String) -> InferenceError {
        .unsupported("tensor '\(stored.prefix(128))' is not one of its architecture's")
    }
}

/// "model.layers.7.mlp.experts.3.up_proj.weight" taken apart.
private struct LayerTensorName {
    let layer: Int
    let expert: Int?
    /// "mlp.experts.up_proj".
    let part: String
    /// "weight" or "bias"; nil for tensors that are called otherwise.
    let suffix: String?

    init?(_ name: String) {
        var parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[0] == "model", parts[1] == "layers", let layer = Int(parts[2]), layer >= 0 else {
            return nil
        }
        self.layer = layer
        parts.removeFirst(3)
        let suffix = parts.last.map(String.init)
        self.suffix = suffix == "weight" || suffix == "bias" ? suffix : nil
        if self.suffix != nil { parts.removeLast() }
        var expert: Int?
        if parts.count > 2, parts[0] == "mlp", parts[1] == "experts" {
            guard let index = Int(parts[2]), index >= 0 else { return nil }
            expert = index
            parts.remove(at: 2)
        }
        self.expert = expert
        part = parts.joined(separator: ".")
    }
}
