import CKernels
import Kernels
import ModelFiles
import Tensors

/// Memory that a ``TransformerStage`` takes, known from the headers before anything is loaded.
///
/// Rows of the token embedding are read from the file's own pages, which the system takes back when it needs them; they
/// are not counted.
package struct StageFootprint: Sendable, Equatable {
    /// Packed weights: never less than `TransformerStage.weightByteCount`, and equal where matrices have rows in
    /// multiples of 16.
    package var weightByteCount: Int
    /// Equals `TransformerStage.kvCacheByteCount`.
    package var kvCacheByteCount: Int
    /// An upper bound of the buffers of a step.
    package var scratchByteCount: Int

    package var byteCount: Int { weightByteCount + kvCacheByteCount + scratchByteCount }

    package init(_ weights: ModelWeights, layers: Range<Int>, configuration: StageConfiguration) {
        let model = weights.model
        let isLast = layers.upperBound == model.layerCount
        weightByteCount = PackedSize(weights, exact: configuration.exact).byteCount(layers: layers, hasHead: isLast)
        kvCacheByteCount =
            configuration.kvBlockCount
            * Self.kvByteCountPerBlock(
                of: model, layers: layers.count, type: configuration.kvType(of: model.attention))
        scratchByteCount = Self.scratch(model, configuration, isLast: isLast)
    }

    /// - Throws: `ModelFileError`, ``InferenceError`` `unsupportedModel` for a file that cannot be used.
    package init(file: GGUFFile, layers: Range<Int>, configuration: StageConfiguration) throws {
        try self.init(ModelWeights(file: file), layers: layers, configuration: configuration)
    }

    /// Bytes of one KV cache block over so many layers.
    package static func kvByteCountPerBlock(
        of model: ModelConfiguration, layers: Int, type: KeyValueType = .f16
    ) -> Int {
        let bytesPerPosition =
            switch model.attention {
            case .grouped(let grouped):
                grouped.keyValueHeadCount * type.bytesPerPosition(headWidth: grouped.headWidth)
            case .latent(let latent):
                LatentCache.bytesPerToken(
                    rank: latent.latentWidth, ropeWidth: latent.rotaryWidth, type: type == .int8 ? .f16 : type)
            }
        return layers * bytesPerPosition * TransformerStage.kvBlockSize
    }

    /// Each matrix input exists as f32, as int8 or as both, and once more for each thread; hidden states once more in the
    /// runner.
    private static func scratch(_ model: ModelConfiguration, _ configuration: StageConfiguration, isLast: Bool) -> Int {
        let tokens = max(configuration.maxBatchedTokens, TransformerStage.logitRows)
        let input = 3
        var values = (input + 3) * model.modelWidth + (input + 2) * model.feedForwardWidth
        switch model.attention {
        case .grouped(let grouped):
            values += (input + 2) * grouped.queryWidth + 2 * grouped.keyValueWidth
        case .latent(let latent):
            let perHead =
                2 * latent.queryHeadWidth + input * latent.plainWidth + latent.cachedWidth
                + (input + 1) * latent.latentWidth + (input + 1) * latent.valueWidth
            values += latent.headCount * perHead + (input + 1) * (latent.queryRank ?? 0) + latent.cachedWidth
        }
        if let experts = model.experts {
            let perPlace = (input + 1) * model.modelWidth + (input + 2) * experts.width + 4
            values += experts.usedCount * perPlace + 3 * experts.count + (input + 2) * experts.sharedWidth
        }
        let rotary = model.rotary.reduce(0) { $0 + $1.width }
        return 4 * (tokens + 2 * configuration.threads) * (values + rotary)
            + (isLast ? 4 * TransformerStage.logitRows * model.vocabularySize : 0)
            + (configuration.threads > 1 ? 4 * AttentionWork.partialCapacity : 0)
    }
}

/// What matrices take as panels of 16 rows, see `PackedMatrix`.
private struct PackedSize {
    private let weights: ModelWeights
    private let exact: Bool

    init(_ weights: ModelWeights, exact: Bool) {
        self.weights = weights
        self.exact = exact
    }

    func byteCount(layers: Range<Int>, hasHead: Bool) -> Int {
        var bytes = 0
        for (name, tensor) in weights.descriptions {
            if let layer = TensorName.layerIndex(of: name) {
                if layers.contains(layer) { bytes += byteCount(tensor, part: TensorName.part(of: name)) }
            } else if hasHead, name == weights.headName {
                bytes += byteCount(tensor, part: name)
            }
        }
        return bytes
    }

    private func byteCount(_ tensor: TensorDescription, part: String) -> Int {
        guard tensor.shape.count > 1 else { return tensor.elementCount * 4 }
        let type = packedType(tensor, exact: exact || part == "ffn_gate_inp.weight")
        if part == "attn_kv_b.weight", case .latent(let latent) = weights.model.attention {
            let transposed: ElementType = type == .f32 || type == .bf16 ? type : .f16
            return latent.headCount
                * (panels(rows: latent.latentWidth, columns: latent.plainWidth, transposed)
                    + panels(rows: latent.valueWidth, columns: latent.latentWidth, type))
        }
        let matrices = tensor.shape.dropLast(2).reduce(1, *)
        return matrices * panels(rows: tensor.shape[tensor.shape.count - 2], columns: tensor.shape.last ?? 1, type)
    }

    private func packedType(_ tensor: TensorDescription, exact: Bool) -> ElementType {
        guard let type = tensor.elementType, !exact else { return .f32 }
        return type.isPackable ? type : .f16
    }

    private func panels(rows: Int, columns: Int, _ type: ElementType) -> Int {
        let kind = ck_weight_kind(rawValue: UInt32(max(0, ck_kind_of_type(type.rawValue))))
        return (rows + 15) / 16 * ((columns + 31) / 32) * ck_record_bytes(kind)
    }
}

extension ElementType {
    /// Whether the kernels have a packed form of it.
    var isPackable: Bool { ck_kind_of_type(rawValue) >= 0 }
}
