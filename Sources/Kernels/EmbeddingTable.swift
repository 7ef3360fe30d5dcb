import CKernels
import Tensors

/// Rows of a `[vocabulary, D]` tensor, read from the file's own bytes.
package struct EmbeddingTable: Sendable {
    package let view: TensorView
    private let kernels: KernelSet

    /// - Throws: `KernelError.unsupportedType` when rows of this element type cannot be dequantised.
    package init(_ view: TensorView, kernels: KernelSet = .active) throws {
        guard view.canDequantize else {
            throw KernelError(
                code: .unsupportedType, message: "embedding \(view.name): \(view.elementType.name) cannot be read")
        }
        self.view = view
        self.kernels = kernels
    }

    /// Writes row `row`, `[D]` f32.
    /// - Throws: `TensorError.outOfRange`.
    package func copyRow(_ row: Int, into output: UnsafeMutablePointer<Float>) throws {
        guard view.elementType == .q8_0 else { return try view.dequantizedRow(row, into: output) }
        let bytes = try view.rowBytes(row)
        guard let base = bytes.bindMemory(to: UInt8.self).baseAddress else { return }
        kernels.table.pointee.dequantize_q8_0(base, view.columns, output)
    }
}
