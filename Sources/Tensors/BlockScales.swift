/// Scale factors of a matrix, one for each block of rows and columns; blocks at the edges may be smaller.
///
/// DeepSeek-V3 and R1 are published this way: `W_scale_inv[i][j]` belongs to rows `128 i ..< 128 (i + 1)` and columns
/// `128 j ..< 128 (j + 1)` of the FP8 matrix `W`, and the weight is `float32(W) * float32(W_scale_inv)`.
package struct BlockScales: Sendable, CustomStringConvertible {
    /// Row-major, `[rows, columns]`.
    package let values: [Float]
    /// Blocks in each direction.
    package let rows: Int
    package let columns: Int
    /// Rows and columns of one block.
    package let blockRows: Int
    package let blockColumns: Int

    /// Reads the scales out of a matrix of floats.
    /// - Throws: `invalidShape` unless `view` is a matrix and the block is not empty; `unsupportedType` unless it holds
    ///   floats; `outOfRange` for a scale that is not finite.
    package init(_ view: TensorView, blockRows: Int = 128, blockColumns: Int = 128) throws {
        guard view.shape.count == 2, blockRows > 0, blockColumns > 0 else {
            throw TensorError(
                code: .invalidShape,
                message: "scales \(view.name): shape \(view.shape) for blocks of \(blockRows) x \(blockColumns), "
                    + "expected a matrix")
        }
        guard [.f32, .bf16, .f16].contains(view.elementType) else {
            throw TensorError(
                code: .unsupportedType, message: "scales \(view.name): \(view.elementType.name), expected F32")
        }
        values = try view.dequantized()
        guard values.allSatisfy(\.isFinite) else {
            throw TensorError(code: .outOfRange, message: "scales \(view.name): a scale is not finite")
        }
        (rows, columns) = (view.shape[0], view.shape[1])
        (self.blockRows, self.blockColumns) = (blockRows, blockColumns)
    }

    package var description: String { "\(rows) x \(columns) scales of blocks of \(blockRows) x \(blockColumns)" }

    /// Whether there is exactly one scale for each block of a matrix of this shape.
    func fits(shape: [Int]) -> Bool {
        shape.count == 2 && rows == Self.quotientRoundedUp(shape[0], blockRows)
            && columns == Self.quotientRoundedUp(shape[1], blockColumns)
    }

    /// Multiplies the `count` values of row `row` by their scales.
    func apply(toRow row: Int, _ output: UnsafeMutablePointer<Float>, count: Int) {
        let first = row / blockRows * columns
        for block in 0..<columns {
            let scale = values[first + block]
            for i in block * blockColumns..<min((block + 1) * blockColumns, count) { output[i] *= scale }
        }
    }

    private static func quotientRoundedUp(_ dividend: Int, _ divisor: Int) -> Int {
        dividend / divisor + (dividend % divisor == 0 ? 0 : 1)
    }
}
