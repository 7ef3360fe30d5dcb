import CKernels
import Tensors

/// A weight matrix `[rows, columns]` repacked at load into panels of 16 output rows that the kernels stream.
///
/// Products are exact in the order of summation: the result for a token is the same bits in any batch, tile, thread
/// split and instruction set. Weights keep the file's values exactly.
// @unchecked: panels are written in the initialiser only.
package final class PackedMatrix: @unchecked Sendable {
    /// A run of panels of one storage kind.
    struct Part {
        let matrix: ck_matrix
        let panels: Range<Int>
        /// Output row of the part's first panel.
        let firstRow: Int
    }

    /// Rows per panel.
    package static let panelRows = 16

    /// Outputs per token. For a fused gate·up matrix: the rows of both.
    package let rows: Int
    package let columns: Int
    /// Panels, the units of work to split over threads.
    package let panelCount: Int
    /// Memory the packed weights take.
    package let byteCount: Int
    /// The form in which this matrix reads its input.
    package let needs: ActivationBuffer.Forms
    /// Whether even panels are gate rows and odd panels are up rows (`init(gate:up:pool:)`).
    package let isGateUp: Bool

    let parts: [Part]
    private let memory: AlignedBuffer<UInt8>

    /// Packs one matrix. `pool`, when given, must be idle; packing runs over its threads.
    /// - Parameter exact: keeps the weights as f32, dequantised, and so reads its input as f32 too: the slow twin.
    /// - Throws: `KernelError` `unsupportedType`, `shapeMismatch`, `resourceExhausted`.
    package convenience init(_ view: TensorView, exact: Bool = false, pool: ThreadPool? = nil) throws {
        try self.init(concatenating: [view], exact: exact, pool: pool)
    }

    /// Stacks matrices of equal `columns` along the rows, in order, such as Q, K and V. Of different element types, all
    /// but the last need a multiple of 16 rows, unless exact.
    /// - Throws: `KernelError` `unsupportedType`, `shapeMismatch`, `resourceExhausted`.
    package convenience init(
        concatenating views: [TensorView], exact: Bool = false, pool: ThreadPool? = nil
    ) throws {
        try self.init(plan: PackingPlan(concatenating: views, exact: exact), pool: pool)
    }

    /// Fuses gate and up, both `[F, columns]` of one element type (any two if exact): panel `2i` holds gate rows
    /// `16i..<16i+16`, panel `2i + 1` the same rows of up. Use with `multiplyGated`.
    /// - Throws: `KernelError` `unsupportedType`, `shapeMismatch`, `resourceExhausted`.
    package convenience init(
        gate: TensorView, up: TensorView, exact: Bool = false, pool: ThreadPool? = nil
    ) throws {
        try self.init(plan: PackingPlan(gate: gate, up: up, exact: exact), pool: pool)
    }

    /// Memory that a matrix of such a type will take, or nil when it cannot be packed.
    package static func byteCount(of view: TensorView, exact: Bool = false) -> Int? {
        guard let storage = try? PanelStorage(view, exact: exact) else { return nil }
        return (view.rows + panelRows - 1) / panelRows * storage.panelBytes(columns: view.columns)
    }

    private init(plan: PackingPlan, pool: ThreadPool?) throws {
        rows = plan.rows
        columns = plan.columns
        panelCount = plan.panelCount
        isGateUp = plan.isGateUp
        byteCount = plan.byteCount
        needs = plan.needs
        memory = try AlignedBuffer(count: plan.byteCount)
        parts = plan.pack(into: memory.pointer, pool: pool)
    }

    /// `output[t, n] = Σ W[n, k] · x[t, k]` for the tokens of `tokens` and the rows of `panels`.
    /// - Parameters:
    ///   - tokens: rows of `activations`; the product of token `t` goes to `output + t * outputStride + n`.
    ///   - output: `[T, outputStride]` with `outputStride >= rows`; row 0 is token 0 whatever `tokens` is.
    ///   - accumulate: adds to what is there (a residual) instead of replacing it.
    package func multiply(
        _ activations: ActivationBuffer, tokens: Range<Int>, panels: Range<Int>,
        into output: UnsafeMutablePointer<Float>,
        outputStride: Int, accumulate: Bool = false, kernels: KernelSet = .active
    ) {
        check(activations, tokens: tokens, panels: panels)
        precondition(outputStride >= rows)
        for part in parts {
            let range = panels.clamped(to: part.panels)
            if range.isEmpty { continue }
            run(
                part, activations, tokens: tokens, panels: range,
                into: output + tokens.lowerBound * outputStride + part.firstRow, outputStride: outputStride,
                store: accumulate ? CK_ACCUMULATE : CK_STORE, kernels: kernels)
        }
    }

    /// For a fused gate·up matrix: `output[t, f] = activation(gate[f] · x[t]) * (up[f] · x[t])` for panel pairs
    /// `pairs` (`0..<panelCount / 2`), each giving 16 values of `output`, `[T, outputStride]`,
    /// `outputStride >= rows / 2`; the last pair may give fewer.
    package func multiplyGated(
        _ activations: ActivationBuffer, tokens: Range<Int>, pairs: Range<Int>, activation: GateActivation = .silu,
        into output: UnsafeMutablePointer<Float>, outputStride: Int, kernels: KernelSet = .active
    ) {
        precondition(isGateUp && outputStride >= rows / 2)
        check(activations, tokens: tokens, panels: pairs.lowerBound * 2..<pairs.upperBound * 2)
        guard let part = parts.first else { return }
        let tile = 48
        withUnsafeTemporaryAllocation(of: Float.self, capacity: tile * 32) { scratch in
            guard let scratch = scratch.baseAddress else { return }
            for pair in pairs {
                let count = min(16, rows / 2 - pair * 16)
                for first in stride(from: tokens.lowerBound, to: tokens.upperBound, by: tile) {
                    let chunk = first..<min(first + tile, tokens.upperBound)
                    // The kernel writes rows 32 * pair..<32 * pair + 32 relative to its base.
                    run(
                        part, activations, tokens: chunk, panels: pair * 2..<pair * 2 + 2, into: scratch - pair * 32,
                        outputStride: 32, store: CK_STORE, kernels: kernels)
                    for token in chunk {
                        let row = scratch + (token - first) * 32
                        kernels.multiplyGate(
                            activation, gate: row, up: row + 16, count: count,
                            into: output + token * outputStride + pair * 16)
                    }
                }
            }
        }
    }

    private func run(
        _ part: Part, _ activations: ActivationBuffer, tokens: Range<Int>, panels: Range<Int>,
        into output: UnsafeMutablePointer<Float>, outputStride: Int, store: ck_store, kernels: KernelSet
    ) {
        withUnsafePointer(to: part.matrix) { matrix in
            let lower = panels.lowerBound - part.panels.lowerBound
            let upper = panels.upperBound - part.panels.lowerBound
            if let quantized = activations.quantized, !part.isFloat {
                kernels.table.pointee.matmul_q(
                    matrix, lower, upper, quantized.pointer + tokens.lowerBound * 2 * activations.blocksPerRow,
                    tokens.count, output, outputStride, store)
            } else if let float = activations.float, part.isFloat {
                kernels.table.pointee.matmul_f(
                    matrix, lower, upper, float.pointer + tokens.lowerBound * activations.blocksPerRow * 32,
                    tokens.count, output, outputStride, store)
            }
        }
    }

    private func check(_ activations: ActivationBuffer, tokens: Range<Int>, panels: Range<Int>) {
        precondition(activations.columns == columns, "activations have \(activations.columns) columns, not \(columns)")
        precondition(activations.forms.isSuperset(of: needs), "activations lack the form this matrix reads")
        precondition(tokens.lowerBound >= 0 && tokens.upperBound <= activations.capacity)
        precondition(panels.lowerBound >= 0 && panels.upperBound <= panelCount)
    }
}

extension PackedMatrix.Part {
    var isFloat: Bool { matrix.kind.rawValue >= CK_F32.rawValue }
}
