import Kernels
import Tensors
import Testing

/// The slow twin: any type as f32 panels.
@Suite struct ExactMatrixTests {
    private func product(_ matrix: PackedMatrix, _ inputs: [[Float]], kernels: KernelSet) throws -> [Float] {
        let buffer = try ActivationBuffer(
            columns: matrix.columns, capacity: inputs.count, forms: matrix.needs, kernels: kernels)
        for (token, input) in inputs.enumerated() { buffer.store(input, token: token) }
        var output = [Float](repeating: .nan, count: inputs.count * matrix.rows)
        matrix.multiply(
            buffer, tokens: 0..<inputs.count, panels: 0..<matrix.panelCount, into: &output,
            outputStride: matrix.rows, kernels: kernels)
        return output
    }

    @Test(
        "products are right to f32 rounding for any shape, and all sets agree to the bit",
        arguments: quantizedTypes + [.f32, .f16, .bf16])
    func precision(type: ElementType) throws {
        var generator = SeededGenerator(seed: UInt64(type.rawValue) + 500)
        let shapes =
            type.blockSize > 1
            ? [(1, type.blockSize), (37, 2 * type.blockSize)] : [(1, 1), (17, 24), (16, 40), (33, 576), (5, 67)]
        for (rows, columns) in shapes {
            let view = try randomWeights(type, rows: rows, columns: columns, using: &generator)
            let matrix = try PackedMatrix(view, exact: true)
            #expect(matrix.needs == .float && matrix.rows == rows && matrix.columns == columns)
            #expect(matrix.byteCount == PackedMatrix.byteCount(of: view, exact: true))
            let weights = try view.dequantized()
            let inputs = (0..<7).map { _ in generator.floats(columns, in: -3...3) }
            let plain = try product(matrix, inputs, kernels: genericSet())
            for (token, input) in inputs.enumerated() {
                for row in 0..<rows {
                    let terms = (0..<columns).map { Double(weights[row * columns + $0]) * Double(input[$0]) }
                    let error = abs(Double(plain[token * rows + row]) - terms.reduce(0, +))
                    #expect(error <= 1e-6 * terms.reduce(0) { $0 + abs($1) }, "\(type.name) \(rows) x \(columns)")
                }
            }
            for set in simdSets {
                expectSameBits(try product(matrix, inputs, kernels: set), plain, "\(type.name) \(set.instructionSet)")
            }
        }
    }

    @Test("matrices of several types stack without regard to panels, and gate and up may differ in type")
    func mixedTypes() throws {
        var generator = SeededGenerator(seed: 21)
        let types: [ElementType] = [.q4_0, .q8_0, .bf16]
        let views = try zip(types, [7, 12, 30]).map { type, rows in
            try randomWeights(type, rows: rows, columns: 64, using: &generator)
        }
        let inputs = [generator.floats(64), generator.floats(64)]
        let stacked = try product(
            PackedMatrix(concatenating: views, exact: true, pool: ThreadPool(threadCount: 2)), inputs, kernels: .active)
        let parts = try views.map { try product(PackedMatrix($0, exact: true), inputs, kernels: .active) }
        let expected = inputs.indices.flatMap { token in
            zip(parts, views).flatMap { part, view in Array(part[token * view.rows..<(token + 1) * view.rows]) }
        }
        expectSameBits(stacked, expected, "stacked")

        let up = try randomWeights(.f16, rows: 7, columns: 64, using: &generator)
        let fused = try PackedMatrix(gate: views[0], up: up, exact: true)
        #expect(throws: KernelError.self) { try PackedMatrix(gate: views[0], up: up) }
        let buffer = try ActivationBuffer(columns: 64, capacity: 2, forms: fused.needs)
        for (token, input) in inputs.enumerated() { buffer.store(input, token: token) }
        var output = [Float](repeating: .nan, count: 14)
        fused.multiplyGated(buffer, tokens: 0..<2, pairs: 0..<1, into: &output, outputStride: 7)
        var gated = [Float](repeating: 0, count: 14)
        KernelSet.active.multiplyGate(
            .silu, gate: parts[0], up: try product(PackedMatrix(up, exact: true), inputs, kernels: .active), count: 14,
            into: &gated)
        expectSameBits(output, gated, "fused")
    }

    @Test("a type without a reader is refused")
    func refusals() throws {
        let view = try makeView([UInt8](repeating: 0, count: 32), .i8, rows: 1, columns: 32)
        #expect(throws: KernelError.self) { try PackedMatrix(view, exact: true) }
        #expect(PackedMatrix.byteCount(of: view, exact: true) == nil)
    }
}
