import Kernels
import Tensors
import Testing

/// Rows with outlying values, whose blocks are quantised twice.
@Suite struct RefinementTests {
    private static let columns = 768

    /// Values in -1...1 and `outliers` values of about 60.
    private func row(outliers: Int, using generator: inout SeededGenerator) -> [Float] {
        var row = generator.floats(Self.columns)
        for _ in 0..<outliers {
            row[Int.random(in: 0..<Self.columns, using: &generator)] = Float.random(in: 50...70, using: &generator)
        }
        return row
    }

    private func product(_ matrix: PackedMatrix, _ inputs: [[Float]], kernels: KernelSet) throws -> [[Float]] {
        let buffer = try ActivationBuffer(
            columns: Self.columns, capacity: inputs.count, forms: matrix.needs, kernels: kernels)
        for (token, input) in inputs.enumerated() { buffer.store(input, token: token) }
        var output = [Float](repeating: 0, count: inputs.count * matrix.rows)
        matrix.multiply(
            buffer, tokens: 0..<inputs.count, panels: 0..<matrix.panelCount, into: &output, outputStride: matrix.rows,
            kernels: kernels)
        return stride(from: 0, to: output.count, by: matrix.rows).map { Array(output[$0..<$0 + matrix.rows]) }
    }

    @Test(
        "a row's result has the same bits alone, among rows without outliers and in every set",
        arguments: quantizedTypes, [Float(0x1p-76), 1, 0x1p60])
    func sameBits(type: ElementType, size: Float) throws {
        var generator = SeededGenerator(seed: 11)
        let matrix = try PackedMatrix(randomWeights(type, rows: 33, columns: Self.columns, using: &generator))
        let inputs = (0..<13).map { row(outliers: [0, 1, 0, 3][$0 % 4], using: &generator).map { $0 * size } }
        let generic = try #require(KernelSet(.generic))
        let alone = try inputs.map { try product(matrix, [$0], kernels: generic)[0] }
        for set in InstructionSet.allCases.compactMap(KernelSet.init) {
            #expect(try product(matrix, inputs, kernels: set) == alone, "\(type.name), \(set.instructionSet)")
        }
    }

    @Test("outlying values do not coarsen the rest of their block", arguments: quantizedTypes)
    func precision(type: ElementType) throws {
        var generator = SeededGenerator(seed: 12)
        let view = try randomWeights(type, rows: 64, columns: Self.columns, using: &generator)
        let matrix = try PackedMatrix(view)
        let weights = try view.dequantized()
        // One value of 60 without refinement: a step of 60 / 127 for its block. With it: that step / 256, and twice its
        // rounding error at the very end of a step.
        var input = [Float](repeating: 0, count: Self.columns)
        for index in 0..<32 { input[index] = Float.random(in: -0.2...0.2, using: &generator) }
        input[5] = 60
        let actual = try product(matrix, [input], kernels: .active)[0]
        for row in 0..<view.rows {
            let terms = (0..<32).map { Double(weights[row * Self.columns + $0]) * Double(input[$0]) }
            let weightSum = (0..<32).reduce(0.0) { $0 + abs(Double(weights[row * Self.columns + $1])) }
            let error = abs(Double(actual[row]) - terms.reduce(0, +))
            #expect(error <= weightSum * 60 / 127 / 256 + 1e-4, "row \(row): error \(error)")
        }
    }
}
