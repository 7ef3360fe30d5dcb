import CKernels

/// Zeroed, 64-byte aligned memory of fixed size.
// @unchecked: bare memory; whoever shares a buffer over threads writes disjoint parts between barriers.
package final class AlignedBuffer<Element: BitwiseCopyable>: @unchecked Sendable {
    package let count: Int
    package let pointer: UnsafeMutablePointer<Element>

    /// - Throws: `KernelError.resourceExhausted`.
    package init(count: Int) throws {
        let (bytes, overflow) = max(count, 1).multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        guard count >= 0, !overflow, let memory = ck_allocate(bytes) else {
            throw KernelError(code: .resourceExhausted, message: "cannot allocate \(count) elements of \(Element.self)")
        }
        self.count = count
        self.pointer = memory.bindMemory(to: Element.self, capacity: max(count, 1))
    }

    deinit { ck_release(pointer, max(count, 1) * MemoryLayout<Element>.stride) }

    package subscript(index: Int) -> Element {
        get { pointer[index] }
        set { pointer[index] = newValue }
    }

    package var buffer: UnsafeMutableBufferPointer<Element> { UnsafeMutableBufferPointer(start: pointer, count: count) }
}

/// The inputs of a product, `[T, K]`: quantised to int8 per block of 32, kept as f32, or both, as the matrices that
/// read them need (`PackedMatrix.needs`).
// @unchecked: threads store disjoint tokens, then read after a barrier.
package final class ActivationBuffer: @unchecked Sendable {
    /// The forms of input a matrix reads.
    package struct Forms: OptionSet, Sendable {
        package let rawValue: Int
        package init(rawValue: Int) { self.rawValue = rawValue }
        /// int8 with a scale per 32, for quantised weights.
        package static let quantized = Forms(rawValue: 1)
        /// f32, for F32, F16 and BF16 weights.
        package static let float = Forms(rawValue: 2)
        /// With `quantized`: a refinement for every block, which makes some 15 bits of 8 at twice the work.
        package static let refined = Forms(rawValue: 4)
    }

    package let columns: Int
    package let capacity: Int
    package let forms: Forms
    let blocksPerRow: Int
    let quantized: AlignedBuffer<ck_act_block>?
    let float: AlignedBuffer<Float>?
    private let kernels: KernelSet

    /// Room for `capacity` tokens of `columns` values.
    /// - Throws: `KernelError.resourceExhausted`.
    package init(columns: Int, capacity: Int, forms: Forms, kernels: KernelSet = .active) throws {
        self.columns = columns
        self.capacity = capacity
        self.forms = forms
        self.kernels = kernels
        blocksPerRow = (columns + 31) / 32
        quantized = forms.contains(.quantized) ? try AlignedBuffer(count: capacity * 2 * blocksPerRow) : nil
        float = forms.contains(.float) ? try AlignedBuffer(count: capacity * blocksPerRow * 32) : nil
    }

    /// Stores the row of one token, `[columns]` f32, in every form.
    package func store(_ x: UnsafePointer<Float>, token: Int) {
        precondition(token >= 0 && token < capacity)
        if let quantized {
            kernels.table.pointee.quantize_row(
                x, columns, forms.contains(.refined) ? 0 : CK_REFINE_RATIO, quantized.pointer + token * 2 * blocksPerRow
            )
        }
        if let float {
            (float.pointer + token * blocksPerRow * 32).update(from: x, count: columns)
        }
    }

    /// Copies the rows of other tokens, as prepared, into rows `0..<tokens.count`. The source may have further forms.
    func copy(_ tokens: UnsafeBufferPointer<Int32>, from source: ActivationBuffer) {
        precondition(source.columns == columns && source.forms.isSuperset(of: forms) && tokens.count <= capacity)
        for (row, token) in tokens.enumerated() {
            precondition(token >= 0 && token < source.capacity)
            if let quantized, let other = source.quantized {
                let count = 2 * blocksPerRow
                (quantized.pointer + row * count).update(from: other.pointer + Int(token) * count, count: count)
            }
            if let float, let other = source.float {
                let count = 32 * blocksPerRow
                (float.pointer + row * count).update(from: other.pointer + Int(token) * count, count: count)
            }
        }
    }
}
