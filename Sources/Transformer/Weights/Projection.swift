import Kernels
import Tensors

/// Matrices that read the same input; their outputs lie side by side. One packed matrix wherever the kernels allow it.
final class Projection {
    private let matrices: [PackedMatrix]
    /// Where the outputs of each begin.
    private let offsets: [Int]
    /// Outputs per token.
    let rows: Int
    let columns: Int
    /// Panels of all, the units of work to split over threads.
    let panelCount: Int

    /// - Parameter exact: keeps the weights as f32.
    /// - Throws: `KernelError`.
    init(_ views: [TensorView], exact: Bool, pool: ThreadPool) throws {
        if exact || Self.canStack(views) {
            matrices = [try PackedMatrix(concatenating: views, exact: exact, pool: pool)]
        } else {
            matrices = try views.map { try PackedMatrix($0, pool: pool) }
        }
        var offsets: [Int] = []
        var rows = 0
        for matrix in matrices {
            offsets.append(rows)
            rows += matrix.rows
        }
        self.offsets = offsets
        self.rows = rows
        columns = matrices.first?.columns ?? 0
        panelCount = matrices.reduce(0) { $0 + $1.panelCount }
    }

    /// Rows of another type may begin with a panel only.
    private static func canStack(_ views: [TensorView]) -> Bool {
        var rows = 0
        for (view, next) in zip(views, views.dropFirst()) {
            rows += view.rows
            if view.elementType != next.elementType, rows % PackedMatrix.panelRows != 0 { return false }
        }
        return true
    }

    var needs: ActivationBuffer.Forms { matrices.reduce(into: []) { $0.formUnion($1.needs) } }
    var byteCount: Int { matrices.reduce(0) { $0 + $1.byteCount } }

    /// `output[t, n] (+)= Σ W[n, k] · x[t, k]`, as ``Kernels/PackedMatrix/multiply(_:tokens:panels:into:outputStride:accumulate:kernels:)``.
    func multiply(
        _ input: ActivationBuffer, tokens: Range<Int>, panels: Range<Int>, into output: UnsafeMutablePointer<Float>,
        outputStride: Int, accumulate: Bool = false
    ) {
        if matrices.count == 1 {
            return matrices[0].multiply(
                input, tokens: tokens, panels: panels, into: output, outputStride: outputStride, accumulate: accumulate)
        }
        var first = 0
        for (matrix, offset) in zip(matrices, offsets) {
            let own = panels.clamped(to: first..<first + matrix.panelCount)
            if !own.isEmpty {
                matrix.multiply(
                    input, tokens: tokens, panels: own.lowerBound - first..<own.upperBound - first,
                    into: output + offset, outputStride: outputStride, accumulate: accumulate)
            }
            first += matrix.panelCount
        }
    }
}

/// `activation(Wgate · x) * (Wup · x)`: fused in the kernel where the two matrices are alike, else both products first
/// and the rest when the row is used.
final class GatedProjection {
    private enum Form {
        case fused(PackedMatrix)
        case separate(Projection)
    }

    private let form: Form
    private let activation: GateActivation
    /// `F`.
    let width: Int

    /// - Parameter exact: keeps the weights as f32.
    /// - Throws: `KernelError`.
    init(gate: TensorView, up: TensorView, activation: GateActivation, exact: Bool, pool: ThreadPool) throws {
        self.activation = activation
        width = gate.rows
        if exact || gate.elementType == up.elementType {
            form = .fused(try PackedMatrix(gate: gate, up: up, exact: exact, pool: pool))
        } else {
            form = .separate(try Projection([gate, up], exact: false, pool: pool))
        }
    }

    var needs: ActivationBuffer.Forms {
        switch form {
        case .fused(let matrix): matrix.needs
        case .separate(let projection): projection.needs
        }
    }

    var byteCount: Int {
        switch form {
        case .fused(let matrix): matrix.byteCount
        case .separate(let projection): projection.byteCount
        }
    }

    /// Values `multiply` leaves per token.
    var outputWidth: Int {
        if case .fused = form { width } else { 2 * width }
    }

    /// Units of work to split over threads.
    var unitCount: Int {
        switch form {
        case .fused(let matrix): matrix.panelCount / 2
        case .separate(let projection): projection.panelCount
        }
    }

    func multiply(
        _ input: ActivationBuffer, tokens: Range<Int>, units: Range<Int>, into output: UnsafeMutablePointer<Float>,
        outputStride: Int
    ) {
        switch form {
        case .fused(let matrix):
            matrix.multiplyGated(
                input, tokens: tokens, pairs: units, activation: activation, into: output, outputStride: outputStride)
        case .separate(let projection):
            projection.multiply(input, tokens: tokens, panels: units, into: output, outputStride: outputStride)
        }
    }

    /// The `width` values of a row that `multiply` left: there, or made in `scratch`.
    func activated(
        _ row: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>, kernels: KernelSet
    ) -> UnsafePointer<Float> {
        if case .fused = form { return row }
        kernels.multiplyGate(activation, gate: row, up: row + width, count: width, into: scratch)
        return UnsafePointer(scratch)
    }
}
