import Foundation
import Synchronization
import Tensors

/// The rearrangements between a published checkpoint and its GGUF form.
enum TensorTransform {
    /// Rows of each head from (first half, second half) to neighbours: rope then turns pairs (2j, 2j + 1).
    ///
    /// `out[h][2j + p] = in[h][p * width / 2 + j]`; a vector's elements are treated as rows.
    static func pairedRope(_ view: TensorView, name: String, heads: Int) throws -> PlannedTensor {
        let count = view.shape.first ?? 1
        guard count % (2 * heads) == 0 else {
            throw ModelToolsError(.malformed, "tensor \(view.name): \(count) rows are not \(heads) heads of even width")
        }
        let width = count / heads
        @Sendable func sourceRow(_ row: Int) -> Int {
            let (head, place) = row.quotientAndRemainder(dividingBy: width)
            return head * width + place % 2 * (width / 2) + place / 2
        }
        guard view.shape.count > 1 else {
            return PlannedTensor(name: name, shape: view.shape, sources: [view]) {
                let values = try view.dequantized()
                return { _, output in for i in 0..<count { output[i] = values[sourceRow(i)] } }
            }
        }
        return PlannedTensor(name: name, shape: view.shape, sources: [view]) {
            { row, output in try view.dequantizedRow(sourceRow(row), into: output) }
        }
    }

    /// `1 + w`.
    static func plusOne(_ view: TensorView, name: String) -> PlannedTensor {
        PlannedTensor(name: name, shape: view.shape, sources: [view]) {
            { row, output in
                try view.dequantizedRow(row, into: output)
                for i in 0..<view.columns { output[i] += 1 }
            }
        }
    }

    /// Matrices of one shape, as one tensor `[count, rows, columns]`.
    static func stacked(_ views: [TensorView], name: String) throws -> PlannedTensor {
        guard let first = views.first, first.shape.count == 2, views.allSatisfy({ $0.shape == first.shape }) else {
            throw ModelToolsError(.malformed, "tensor \(name): the experts have different shapes")
        }
        let rows = first.rows
        return PlannedTensor(name: name, shape: [views.count] + first.shape, sources: views) {
            { row, output in try views[row / rows].dequantizedRow(row % rows, into: output) }
        }
    }

    /// `kv_b` `[H * (K + V), R]` as `attn_k_b` `[H, R, K]` (transposed, so that it can be absorbed into the query) and
    /// `attn_v_b` `[H, V, R]`.
    static func latentProjections(
        _ view: TensorView, prefix: String, heads: Int, keyWidth: Int, valueWidth: Int
    ) throws -> [PlannedTensor] {
        let width = keyWidth + valueWidth
        guard view.shape.count == 2, view.rows == heads * width else {
            throw ModelToolsError(
                .malformed, "tensor \(view.name): shape \(view.shape), expected \(heads * width) rows")
        }
        let rank = view.columns
        let keys = PlannedTensor(name: "\(prefix).attn_k_b.weight", shape: [heads, rank, keyWidth], sources: [view]) {
            // Transposing row by row would read the head once for each; the whole matrix is a few megabytes.
            let all = try view.dequantized()
            return { row, output in
                let (head, place) = row.quotientAndRemainder(dividingBy: rank)
                for i in 0..<keyWidth { output[i] = all[(head * width + i) * rank + place] }
            }
        }
        let values = PlannedTensor(
            name: "\(prefix).attn_v_b.weight", shape: [heads, valueWidth, rank], sources: [view]
        ) {
            { row, output in
                let (head, place) = row.quotientAndRemainder(dividingBy: valueWidth)
                try view.dequantizedRow(head * width + keyWidth + place, into: output)
            }
        }
        return [keys, values]
    }

    /// By how much each rotary frequency is divided under Llama 3's scaling: 1 for wavelengths that the original context
    /// held many times, `factor` for those it did not hold, and a smooth passage between. (Meta's reference, `apply_scaling`.)
    static func llama3Factors(
        headWidth: Int, base: Double, factor: Double, low: Double, high: Double, originalContext: Double
    ) throws -> [Float] {
        guard factor > 0, low > 0, high > low, originalContext > 0, base > 0, headWidth <= 65_536 else {
            throw ModelToolsError(.malformed, "impossible llama3 rope scaling of heads of width \(headWidth)")
        }
        // In f32, as the reference computes them (its power is correctly rounded), so that a conversion has its bytes.
        let (factor, low, high, context) = (Float(factor), Float(low), Float(high), Float(originalContext))
        return (0..<headWidth / 2).map { i in
            let frequency = 1 / Float(pow(base, Double(2 * i) / Double(headWidth)))
            // Float.pi is rounded towards zero; the nearest is wanted.
            let wavelength = Float(2 * Double.pi) / frequency
            if wavelength < context / high { return 1 }
            if wavelength > context / low { return factor }
            let smooth = (context / wavelength - low) / (high - low)
            return 1 / ((1 - smooth) / factor + smooth)
        }
    }
}
