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

    /// - Throws: `ModelFileError` for tensors that cannot be described.
    package init(_ weights: ModelWeights, layers: Range<Int>, configuration: StageConfiguration) throws {
        let model = weights.model
        let isLast = layers.upperBound == model.layerCount
        weightByteCount = try PackedSize(weights, exact: configuration.exact).byteCount(layers: layers, hasHead: isLast)
        kvCacheByteCount =
            configuration.kvBlockCount
            * Self.kvByteCountPerBlock(
                of: model, layers: layers.count, type: configuration.kvType(of: model.attention))
        scratchByteCount = Self.scratch(model, configuration, isLast: isLast)
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

    func byteCount(layers: Range<Int>, hasHead: Bool) throws -> Int {
        var bytes = 0
        for (name, tensor) in weights.descriptions {
            if let layer = TensorName.layerIndex(of: name) {
                if layers.contains(layer) { bytes += try byteCount(tensor, part: TensorName.part(of: name)) }
            } else if hasHead, name == weights.headName {
                bytes += try byteCount(tensor, part: name)
            }
        }
        return bytes
    }

    private func byteCount(_ tensor: TensorDescription, part: String) throws -> Int {
        guard tensor.shape.count > 1 else { return tensor.elementCount * 4 }
        let view = try weights.source.tensor(tensor.name)
        if part == "attn_kv_b.weight", case .latent(let latent) = weights.model.attention {
            return latent.headCount * perHead(view, latent)
        }
        let isExact = exact || part == "ffn_gate_inp.weight"
        let matrices = tensor.shape.dropLast(2).reduce(1, *)
        let matrix = tensor.shape.count == 2 || matrices == 0 ? view : try view.slice(0)
        // Loading will refuse what cannot be packed.
        return (tensor.shape.count == 2 ? 1 : matrices)
            * (PackedMatrix.byteCount(of: matrix, exact: isExact) ?? tensor.byteCount)
    }

    /// Of one head: keys transposed, and values in panels of their own.
    private func perHead(_ joint: TensorView, _ latent: LatentAttentionConfiguration) -> Int {
        let type = joint.elementType.transposed(exact: exact)
        let valueType = joint.scales == nil && !exact ? joint.elementType : type
        return panels(rows: latent.latentWidth, columns: latent.plainWidth, type)
            + panels(rows: latent.valueWidth, columns: latent.latentWidth, valueType)
    }

    private func panels(rows: Int, columns: Int, _ type: ElementType) -> Int {
        let kind = ck_weight_kind(rawValue: UInt32(max(0, ck_kind_of_type(type.rawValue))))
        return (rows + 15) / 16 * ((columns + 31) / 32) * ck_record_bytes(kind)
    }
}
