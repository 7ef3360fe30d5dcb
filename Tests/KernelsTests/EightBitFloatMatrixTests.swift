import Kernels
import Tensors
import Testing

/// Matrices of 8-bit floats with block scales, as DeepSeek-V3 is published.
@Suite struct EightBitFloatMatrixTests {
    private func view(
        rows: Int, columns: Int, block: (rows: Int, columns: Int)?, using generator: inout SeededGenerator
    ) throws -> TensorView {
        let bytes = (0..<rows * columns).map { _ in
            UInt8.random(in: 0...0x7e, using: &generator) | (Bool.random(using: &generator) ? 0x80 : 0)
        }
        let owner = OwnedBytes(bytes)
        let scales = try block.map { block in
            let shape = [(rows + block.rows - 1) / block.rows, (columns + block.columns - 1) / block.columns]
            let values = generator.floats(shape[0] * shape[1], in: 1e-4...1e-3)
            let bytes = values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init) }
            let view = try makeView(bytes, .f32, rows: shape[0], columns: shape[1])
            return try BlockScales(view, blockRows: block.rows, blockColumns: block.columns)
        }
        return try TensorView(
            name: "w", shape: [rows, columns], elementType: .f8_E4M3, bytes: owner.bytes, owner: owner, scales: scales)
    }

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
        "products have the bits of the exact twin in every set, and a third of its memory",
        arguments: [(1, 1), (17, 24), (144, 200), (33, 288), (300, 130)])
    func sameBits(rows: Int, columns: Int) throws {
        var generator = SeededGenerator(seed: UInt64(rows * columns))
        for block in [nil, (128, 128), (7, 32), (128, 48)] as [(Int, Int)?] {
            let view = try view(rows: rows, columns: columns, block: block, using: &generator)
            let matrix = try PackedMatrix(view)
            let exact = try PackedMatrix(view, exact: true)
            #expect(matrix.needs == .float)
            // Blocks that do not consist of records are kept as f32.
            #expect(matrix.byteCount * (block?.1 == 48 ? 1 : 3) <= exact.byteCount)
            for tokens in [1, 7] {
                let inputs = (0..<tokens).map { _ in generator.floats(columns) }
                let expected = try product(exact, inputs, kernels: genericSet())
                for set in try [genericSet()] + simdSets {
                    expectSameBits(
                        try product(matrix, inputs, kernels: set), expected,
                        "\(rows) x \(columns), blocks \(block ?? (0, 0)), \(set.instructionSet)")
                }
            }
        }
    }

    @Test("every finite byte has its value in every set, the smallest included")
    func allBytes() throws {
        let bytes = (0...255).map { UInt8($0) }.filter { $0 & 0x7f != 0x7f }
        let owner = OwnedBytes(bytes)
        let view = try TensorView(
            name: "w", shape: [bytes.count, 1], elementType: .f8_E4M3, bytes: owner.bytes, owner: owner)
        let expected = bytes.map { EightBitFloat.values[Int($0)] }
        for set in try [genericSet()] + simdSets {
            let actual = try product(PackedMatrix(view), [[1]], kernels: set)
            #expect(actual == expected, "\(set.instructionSet)")
        }
    }

    @Test("matrices of 8-bit floats stack with others, each with its own scales")
    func stacked() throws {
        var generator = SeededGenerator(seed: 77)
        let first = try view(rows: 20, columns: 256, block: (128, 128), using: &generator)
        let second = try view(rows: 12, columns: 256, block: (8, 64), using: &generator)
        let third = try randomWeights(.bf16, rows: 5, columns: 256, using: &generator)
        let inputs = [generator.floats(256), generator.floats(256)]
        let stacked = try product(PackedMatrix(concatenating: [first, second, third]), inputs, kernels: .active)
        let parts = try [first, second, third].map { try product(PackedMatrix($0), inputs, kernels: .active) }
        let expected = inputs.indices.flatMap { token in
            zip(parts, [20, 12, 5]).flatMap { part, rows in Array(part[token * rows..<(token + 1) * rows]) }
        }
        expectSameBits(stacked, expected, "stacked")
    }
}
