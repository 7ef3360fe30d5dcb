import InferenceCore
import Kernels
import ModelFiles
import Tensors

/// The weights of one transformer layer, packed for the kernels.
struct LayerWeights {
    /// RMS norm before attention, [D].
    let attentionNorm: AlignedBuffer<Float>
    /// Query, key and value projections stacked, [(H + 2 KVH) * dh, D].
    let queryKeyValue: PackedMatrix
    /// Output projection of attention, [D, H * dh].
    let attentionOutput: PackedMatrix
    /// RMS norm before the feed-forward part, [D].
    let feedForwardNorm: AlignedBuffer<Float>
    /// Gate and up projections interleaved by panel, [2 F, D].
    let gateUp: PackedMatrix
    /// Down projection, [D, F].
    let down: PackedMatrix

    /// The parts a layer consists of. A file that holds any other part describes a computation this engine does not do.
    private static let parts: Set<String> = [
        "attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down",
    ]

    /// Reads and packs layer `index`.
    ///
    /// - Throws: `ModelFileError` for a missing tensor; ``InferenceError`` `unsupportedModel` for a wrong shape, a type
    ///   the kernels do not know or a tensor that does not belong.
    init(file: GGUFFile, index: Int, model: ModelConfiguration, pool: ThreadPool) throws {
        func matrix(_ part: String, rows: Int, columns: Int) throws -> TensorView {
            try file.tensor(TensorName.layer(index, part)).expectingShape([rows, columns])
        }
        func norm(_ part: String) throws -> AlignedBuffer<Float> {
            try file.tensor(TensorName.layer(index, part)).expectingShape([model.modelWidth]).loadedVector()
        }
        let width = model.modelWidth
        let queryWidth = model.headCount * model.headWidth
        let keyValueWidth = model.keyValueHeadCount * model.headWidth
        attentionNorm = try norm("attn_norm")
        feedForwardNorm = try norm("ffn_norm")
        do {
            queryKeyValue = try PackedMatrix(
                concatenating: [
                    matrix("attn_q", rows: queryWidth, columns: width),
                    matrix("attn_k", rows: keyValueWidth, columns: width),
                    matrix("attn_v", rows: keyValueWidth, columns: width),
                ], pool: pool)
            attentionOutput = try PackedMatrix(matrix("attn_output", rows: width, columns: queryWidth), pool: pool)
            gateUp = try PackedMatrix(
                gate: matrix("ffn_gate", rows: model.feedForwardWidth, columns: width),
                up: matrix("ffn_up", rows: model.feedForwardWidth, columns: width), pool: pool)
            down = try PackedMatrix(matrix("ffn_down", rows: width, columns: model.feedForwardWidth), pool: pool)
        } catch let error as KernelError {
            throw InferenceError(
                code: .unsupportedModel, message: "layer \(index): \(error.message)", cause: error)
        }
    }

    /// Refuses tensors of layer parts that the forward pass would silently leave out, such as biases or experts.
    static func checkParts(of file: GGUFFile) throws {
        for name in file.tensorNames where TensorName.layerIndex(of: name) != nil {
            let part = name.split(separator: ".", maxSplits: 2)[2]
            guard part.hasSuffix(".weight"), parts.contains(String(part.dropLast(".weight".count))) else {
                throw InferenceError.unsupported("tensor '\(name)' is not part of a llama layer")
            }
        }
    }

    /// Bytes streamed for one token.
    var byteCount: Int {
        queryKeyValue.byteCount + attentionOutput.byteCount + gateUp.byteCount + down.byteCount
            + (attentionNorm.count + feedForwardNorm.count) * MemoryLayout<Float>.stride
    }
}

extension TensorView {
    /// The tensor itself when it has this shape.
    /// - Throws: ``InferenceError`` `unsupportedModel`.
    func expectingShape(_ expected: [Int]) throws -> TensorView {
        guard shape == expected else {
            throw InferenceError.unsupported("tensor '\(name)' has shape \(shape) (expected: \(expected))")
        }
        return self
    }

    /// All elements as f32, for norm weights and other small vectors.
    func loadedVector() throws -> AlignedBuffer<Float> {
        let buffer = try AlignedBuffer<Float>(count: elementCount)
        for row in 0..<rows { try dequantizedRow(row, into: buffer.pointer + row * columns) }
        return buffer
    }
}
