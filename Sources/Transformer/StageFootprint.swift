import Kernels
import ModelFiles
import Tensors

/// Memory that a ``TransformerStage`` takes, known from the file's header before anything is loaded.
///
/// Rows of the token embedding are read from the file's own pages, which the system takes back when it needs them; they
/// are not counted.
package struct StageFootprint: Sendable, Equatable {
    /// Packed weights; equals `TransformerStage.weightByteCount` for a file that can be loaded.
    package var weightByteCount: Int
    /// Equals `TransformerStage.kvCacheByteCount`.
    package var kvCacheByteCount: Int
    /// An upper bound of the buffers of a step.
    package var scratchByteCount: Int

    package var byteCount: Int { weightByteCount + kvCacheByteCount + scratchByteCount }

    /// - Throws: `ModelFileError`, ``InferenceError`` `unsupportedModel` for metadata that cannot be used.
    package init(file: GGUFFile, layers: Range<Int>, configuration: StageConfiguration) throws {
        let model = try ModelConfiguration(metadata: file.metadata)
        let isLast = layers.upperBound == model.layerCount
        var weights = 0
        for (name, tensor) in file.tensors {
            guard let layer = TensorName.layerIndex(of: name), layers.contains(layer) else { continue }
            weights += tensor.isMatrix ? Self.packedByteCount(tensor) : tensor.elementCount * 4
        }
        if isLast, let head = file.tensors[TensorName.output] ?? file.tensors[TensorName.tokenEmbedding] {
            weights += Self.packedByteCount(head)
        }
        weightByteCount = weights
        kvCacheByteCount =
            configuration.kvBlockCount
            * Self.kvByteCountPerBlock(of: model, layers: layers.count, type: configuration.kvType)
        let tokens = max(configuration.maxBatchedTokens, TransformerStage.logitRows)
        let attention = (2 * model.headCount + 2 * model.keyValueHeadCount) * model.headWidth
        // Each matrix input exists as f32 or int8, and once more for each thread; hidden states once more in the runner.
        let values = 2 * model.modelWidth + attention + model.headCount * model.headWidth + 2 * model.feedForwardWidth
        scratchByteCount =
            4 * (tokens + 2 * configuration.threads) * values + 8 * tokens * model.ropeWidth
            + (isLast ? 4 * TransformerStage.logitRows * model.vocabularySize : 0)
            + (configuration.threads > 1 ? 4 * BatchLayout.partialCapacity : 0)
    }

    /// Bytes of one KV cache block over so many layers.
    package static func kvByteCountPerBlock(
        of model: ModelConfiguration, layers: Int, type: KeyValueType = .f16
    ) -> Int {
        layers * model.keyValueHeadCount * type.bytesPerPosition(headWidth: model.headWidth)
            * TransformerStage.kvBlockSize
    }

    /// Bytes of a matrix as panels; the file's own for a type that loading will refuse.
    private static func packedByteCount(_ tensor: TensorView) -> Int {
        PackedMatrix.byteCount(of: tensor) ?? tensor.bytes.count
    }
}

extension TensorView {
    /// Norm weights are vectors.
    fileprivate var isMatrix: Bool { shape.count > 1 }
}
