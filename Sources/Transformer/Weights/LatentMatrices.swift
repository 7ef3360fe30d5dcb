import Kernels
import Tensors

/// The matrices of latent attention that are absorbed, of each head: Wkᵀ, [R, plain], and Wv, [value width, R].
///
/// Files have them apart and Wk transposed already (`attn_k_b`, [H, R, plain], and `attn_v_b`, [H, value width, R]), or
/// as one matrix that carries each head's keys and values out of the latent (`attn_kv_b`, [H * (plain + value width), R]).
struct LatentMatrices {
    let keys: [Projection]
    let values: [Projection]

    init(loader: LayerLoader, layer: Int, shape: LatentAttentionConfiguration) throws {
        let keyName = TensorName.layer(layer, "attn_k_b")
        let heads = 0..<shape.headCount
        if loader.weights.contains(keyName) {
            let keyShape = [shape.headCount, shape.latentWidth, shape.plainWidth]
            let key = try loader.weights.tensor(keyName, shape: keyShape)
            let value = try loader.weights.tensor(
                TensorName.layer(layer, "attn_v_b"), shape: [shape.headCount, shape.valueWidth, shape.latentWidth])
            keys = try heads.map { try loader.projection([key.slice($0)]) }
            values = try heads.map { try loader.projection([value.slice($0)]) }
            return
        }
        let perHead = shape.plainWidth + shape.valueWidth
        let joint = try loader.matrix(layer, "attn_kv_b", shape.headCount * perHead, shape.latentWidth)
        let type = joint.transposedType(exact: loader.exact)
        keys = try heads.map { head in
            let rows = head * perHead..<head * perHead + shape.plainWidth
            return try loader.projection([joint.transposed(rows, type: type)])
        }
        // Rows with block scales cannot be cut at a head.
        let plain =
            joint.scales == nil
            ? joint : try FloatMatrix(name: joint.name, shape: joint.shape, type: type).filled(from: joint)
        values = try heads.map { head in
            let rows = head * perHead + shape.plainWidth..<(head + 1) * perHead
            return try loader.projection([plain.rowRange(rows, shape: [rows.count, shape.latentWidth])])
        }
    }
}

extension TensorView {
    /// The type for values that have to be laid out anew: f32 where everything is, else bf16 where they are that, or f16.
    fileprivate func transposedType(exact: Bool) -> ElementType { elementType.transposed(exact: exact) }

    /// Some rows as columns.
    fileprivate func transposed(_ range: Range<Int>, type: ElementType) throws -> TensorView {
        let row = try AlignedBuffer<Float>(count: columns)
        let result = try AlignedBuffer<Float>(count: range.count * columns)
        for (index, source) in range.enumerated() {
            try dequantizedRow(source, into: row.pointer)
            for column in 0..<columns { result[column * range.count + index] = row[column] }
        }
        let matrix = try FloatMatrix(name: name, shape: [columns, range.count], type: type)
        matrix.store(result.pointer, at: 0, count: result.count)
        return try matrix.view
    }
}

extension ElementType {
    /// What ``LatentMatrices`` turns a matrix of this type into to transpose it.
    func transposed(exact: Bool) -> ElementType {
        switch self {
        case _ where exact: .f32
        case .f32, .bf16: self
        default: .f16
        }
    }
}
