import CKernels
import Kernels
import Tensors
import Testing

/// The product in double precision over dequantised weights and the activations as the kernels see them.
private func reference(_ view: TensorView, _ inputs: [[Float]], quantized: Bool) throws -> [Float] {
    let weights = try view.dequantized()
    return inputs.flatMap { input in
        let x = quantized ? quantizeReference(input) : input
        return (0..<view.rows).map { row in
            Float((0..<view.columns).reduce(0.0) { $0 + Double(weights[row * view.columns + $1]) * Double(x[$1]) })
        }
    }
}

/// int8 per 32 with scale amax / 127, nearest even, and back. What is left of blocks with large scales is rounded to
/// steps of scale / 256.
private func quantizeReference(_ x: [Float]) -> [Float] {
    let blocks = stride(from: 0, to: x.count, by: 32).map { Array(x[$0..<min($0 + 32, x.count)]) }
    let scales = blocks.map { block in
        let largest = block.map { abs($0) }.max() ?? 0
        return largest > Float(sign: .plus, exponent: -80, significand: 1) ? largest / 127 : 0
    }
    let limit = CK_REFINE_RATIO * scales.reduce(0) { $0 + $1 * $1 } / Float(blocks.count)
    return zip(blocks, scales).flatMap { block, scale -> [Float] in
        if scale == 0 { return block.map { _ in 0 } }
        let inverse = 127 / (block.map { abs($0) }.max() ?? 0)
        return block.map { value in
            let rounded = min((value * inverse).rounded(.toNearestOrEven), 127) * scale
            if scale * scale <= limit { return rounded }
            let rest = ((value - rounded) * (256 / scale)).rounded(.toNearestOrEven)
            return rounded + max(-127, min(rest, 127)) * scale / 256
        }
    }
}

private func product(
    _ matrix: PackedMatrix, _ inputs: [[Float]], kernels: KernelSet, tokens: Range<Int>? = nil,
    panels: Range<Int>? = nil, start: Float = .nan, accumulate: Bool = false
) throws -> [Float] {
    let buffer = try ActivationBuffer(
        columns: matrix.columns, capacity: inputs.count, forms: matrix.needs, kernels: kernels)
    for (token, input) in inputs.enumerated() { buffer.store(input, token: token) }
    var output = [Float](repeating: start, count: inputs.count * matrix.rows)
    matrix.multiply(
        buffer, tokens: tokens ?? 0..<inputs.count, panels: panels ?? 0..<matrix.panelCount, into: &output,
        outputStride: matrix.rows, accumulate: accumulate, kernels: kernels)
    return output
}

private let floatTypes: [ElementType] = [.f32, .f16, .bf16]

@Suite struct PackedMatrixTests {
    @Test("all sets agree to the bit and with a double-precision product", arguments: quantizedTypes + floatTypes)
    func agreesWithReference(type: ElementType) throws {
        var generator = SeededGenerator(seed: 1)
        let generic = try genericSet()
        for rows in [1, 15, 16, 17, 33, 48] {
            for units in [1, 2, 3] {
                let columns = type.blockSize > 1 ? type.blockSize * units : [1, 31, 67][units - 1]
                let tokens = [1, 2, 3, 4, 5, 7, 8, 9, 17][(rows + units) % 9]
                let view = try randomWeights(type, rows: rows, columns: columns, using: &generator)
                let inputs = (0..<tokens).map { _ in generator.floats(columns) }
                let matrix = try PackedMatrix(view)
                #expect(matrix.rows == rows && matrix.panelCount == (rows + 15) / 16)
                let plain = try product(matrix, inputs, kernels: generic)
                let expected = try reference(view, inputs, quantized: quantizedTypes.contains(type))
                let note = "\(type.name) [\(rows), \(columns)] x \(tokens)"
                // f32 sums of up to 768 terms of at most about 2.5.
                expectClose(plain, expected, tolerance: 2e-4, note)
                for set in simdSets {
                    expectSameBits(try product(matrix, inputs, kernels: set), plain, "\(note) \(set.instructionSet)")
                }
            }
        }
    }

    @Test("random shapes: equal bits in all sets, close to the double-precision product", arguments: quantizedTypes)
    func randomShapes(type: ElementType) throws {
        var generator = SeededGenerator(seed: UInt64(type.rawValue) + 100)
        let generic = try genericSet()
        for refined in [false, true, false, true, true] {
            let rows = Int.random(in: 1...70, using: &generator)
            let columns = 256 * Int.random(in: 1...8, using: &generator)
            let tokens = Int.random(in: 1...20, using: &generator)
            let view = try randomWeights(type, rows: rows, columns: columns, using: &generator)
            var inputs = (0..<tokens).map { _ in generator.floats(columns) }
            if refined {
                // Outlying values in half of the tokens.
                for token in stride(from: 0, to: tokens, by: 2) {
                    for _ in 0..<3 { inputs[token][Int.random(in: 0..<columns, using: &generator)] *= 60 }
                }
            }
            let matrix = try PackedMatrix(view)
            let note = "\(type.name) [\(rows), \(columns)] x \(tokens)"
            let plain = try product(matrix, inputs, kernels: generic)
            for set in simdSets {
                expectSameBits(try product(matrix, inputs, kernels: set), plain, "\(note) \(set.instructionSet)")
            }
            let weights = try view.dequantized()
            for (token, input) in inputs.enumerated() {
                let x = quantizeReference(input)
                for row in 0..<rows {
                    var sum = 0.0
                    var size = 0.0
                    for column in 0..<columns {
                        let term = Double(weights[row * columns + column]) * Double(x[column])
                        sum += term
                        size += abs(term)
                    }
                    // At most 192 f32 additions of terms whose sizes add up to `size`.
                    let error = abs(Double(plain[token * rows + row]) - sum)
                    #expect(error <= 1e-6 * size, "\(note), token \(token), row \(row): \(error) of \(size)")
                }
            }
        }
    }

    @Test(
        "a token's result is the same bits in every batch and panel split",
        arguments: [ElementType.q4_1, .q8_0, .q4_K, .q6_K, .f16])
    func batchInvariance(type: ElementType) throws {
        var generator = SeededGenerator(seed: 2)
        let columns = max(96, type.blockSize)
        let view = try randomWeights(type, rows: 70, columns: columns, using: &generator)
        let matrix = try PackedMatrix(view)
        let inputs = (0..<17).map { _ in generator.floats(columns) }
        for set in try [genericSet()] + simdSets {
            let together = try product(matrix, inputs, kernels: set)
            for token in inputs.indices {
                let alone = try product(matrix, [inputs[token]], kernels: set)
                expectSameBits(alone, Array(together[token * 70..<(token + 1) * 70]), "token \(token)")
            }
            for count in 1...17 {
                let first = try product(matrix, Array(inputs[0..<count]), kernels: set)
                expectSameBits(first, Array(together[0..<count * 70]), "batch of \(count)")
            }
            // Only what was asked for is written.
            let part = try product(matrix, inputs, kernels: set, tokens: 3..<9, panels: 2..<5)
            for token in inputs.indices {
                for row in 0..<70 {
                    let value = part[token * 70 + row]
                    if (3..<9).contains(token) && row >= 32 {
                        #expect(value.bitPattern == together[token * 70 + row].bitPattern)
                    } else {
                        #expect(value.isNaN)
                    }
                }
            }
        }
    }

    @Test("accumulation adds the product to what is there")
    func accumulates() throws {
        var generator = SeededGenerator(seed: 3)
        for type in [ElementType.q4_1, .f32] {
            let matrix = try PackedMatrix(randomWeights(type, rows: 21, columns: 64, using: &generator))
            let inputs = (0..<3).map { _ in generator.floats(64) }
            for set in try [genericSet()] + simdSets {
                let plain = try product(matrix, inputs, kernels: set)
                let added = try product(matrix, inputs, kernels: set, start: 0.75, accumulate: true)
                expectSameBits(added, plain.map { 0.75 + $0 }, "\(type.name) \(set.instructionSet)")
            }
        }
    }

    @Test("stacked matrices give the rows of each, also of different types")
    func concatenation() throws {
        var generator = SeededGenerator(seed: 4)
        let inputs = (0..<5).map { _ in generator.floats(256) }
        for types in [
            [ElementType.q4_1, .q4_1, .q4_1], [.q4_1, .q4_1, .q6_K], [.q8_0, .f16, .f16], [.q4_K, .q4_K, .q6_K],
        ] {
            let rows = types[0] == types[2] ? [20, 7, 30] : [16, 48, 7]
            let views = try zip(types, rows).map { type, rows in
                try randomWeights(type, rows: rows, columns: 256, using: &generator)
            }
            let stacked = try PackedMatrix(concatenating: views, pool: ThreadPool(threadCount: 2))
            let singles = try views.map { try PackedMatrix($0) }
            #expect(stacked.rows == rows.reduce(0, +))
            for set in try [genericSet()] + simdSets {
                let parts = try singles.map { try product($0, inputs, kernels: set) }
                let expected = (0..<5).flatMap { token in
                    zip(parts, rows).flatMap { part, rows in Array(part[token * rows..<(token + 1) * rows]) }
                }
                expectSameBits(try product(stacked, inputs, kernels: set), expected, "\(types)")
            }
        }
    }

    @Test(
        "fused gate and up equal activation(gate) * up of the separate products", arguments: GateActivation.allCases,
        [48, 20, 1])
    func fusedGateUp(activation: GateActivation, rows: Int) throws {
        var generator = SeededGenerator(seed: 5)
        for type in [ElementType.q4_1, .q8_0, .q4_K, .bf16] {
            let columns = max(64, type.blockSize)
            let gate = try randomWeights(type, rows: rows, columns: columns, using: &generator)
            let up = try randomWeights(type, rows: rows, columns: columns, using: &generator)
            let inputs = (0..<50).map { _ in generator.floats(columns, in: -3...3) }
            let fused = try PackedMatrix(gate: gate, up: up)
            for set in try [genericSet()] + simdSets {
                let gates = try product(PackedMatrix(gate), inputs, kernels: set)
                let ups = try product(PackedMatrix(up), inputs, kernels: set)
                var expected = [Float](repeating: 0, count: gates.count)
                set.multiplyGate(activation, gate: gates, up: ups, count: gates.count, into: &expected)
                let buffer = try ActivationBuffer(columns: columns, capacity: 50, forms: fused.needs, kernels: set)
                for (token, input) in inputs.enumerated() { buffer.store(input, token: token) }
                var output = [Float](repeating: .nan, count: 50 * rows)
                for pair in 0..<fused.panelCount / 2 {
                    fused.multiplyGated(
                        buffer, tokens: 0..<50, pairs: pair..<pair + 1, activation: activation, into: &output,
                        outputStride: rows, kernels: set)
                }
                expectSameBits(output, expected, "\(type.name) \(set.instructionSet)")
            }
        }
    }

    @Test("extreme 8-bit weights and activations do not saturate")
    func extremeValues() throws {
        let inputs = [[Float](repeating: 1, count: 64), (0..<64).map { $0 % 2 == 0 ? 1 : -1 }]
        for value in [UInt8(0x80), 0x7f, 0x81] {
            let block = [UInt8(0x00), 0x3c] + [UInt8](repeating: value, count: 32)
            let view = try makeView(block + block, .q8_0, rows: 1, columns: 64)
            let expected = try reference(view, inputs, quantized: true)
            for set in try [genericSet()] + simdSets {
                expectClose(
                    try product(PackedMatrix(view), inputs, kernels: set), expected, tolerance: 0.02,
                    "\(value) \(set.instructionSet)")
            }
        }
    }

    @Test("blocks of zeros, tiny and large activations stay finite and agree")
    func activationRange() throws {
        var generator = SeededGenerator(seed: 6)
        let view = try randomWeights(.q4_1, rows: 16, columns: 64, using: &generator)
        let matrix = try PackedMatrix(view)
        let base = generator.floats(64)
        for factor: Float in [0, 1e-38, 1e-30, 1e-20, 1e20, 1e30] {
            let inputs = [base.map { $0 * factor }]
            let plain = try product(matrix, inputs, kernels: genericSet())
            #expect(plain.allSatisfy { $0.isFinite })
            for set in simdSets { expectSameBits(try product(matrix, inputs, kernels: set), plain, "\(factor)") }
        }
    }

    @Test("matrices that do not fit together are refused")
    func refusals() throws {
        var generator = SeededGenerator(seed: 7)
        let a = try randomWeights(.q4_1, rows: 16, columns: 64, using: &generator, name: "a")
        let b = try randomWeights(.q4_1, rows: 16, columns: 32, using: &generator, name: "b")
        let c = try randomWeights(.q8_0, rows: 10, columns: 64, using: &generator, name: "c")
        #expect(throws: KernelError.self) { try PackedMatrix(concatenating: []) }
        #expect(throws: KernelError.self) { try PackedMatrix(concatenating: [a, b]) }
        #expect(throws: KernelError.self) { try PackedMatrix(concatenating: [c, a]) }
        #expect(throws: KernelError.self) { try PackedMatrix(gate: a, up: c) }
        #expect(throws: KernelError.self) { try ThreadPool(threadCount: 0) }
    }

    @Test("packed weights take no more than their blocks")
    func byteCounts() throws {
        var generator = SeededGenerator(seed: 8)
        let sizes: [(ElementType, Int)] = [
            (.q4_0, 288), (.iq4_NL, 288), (.q4_1, 320), (.q5_0, 352), (.q5_1, 384), (.q8_0, 544), (.f16, 1024),
            (.f32, 2048),
        ]
        for (type, bytes) in sizes {
            let matrix = try PackedMatrix(randomWeights(type, rows: 33, columns: 96, using: &generator))
            #expect(matrix.byteCount == 3 * 3 * bytes)
        }
        // Superblocks: at most 4 % more than in the file.
        let superblocks: [(ElementType, Int)] = [
            (.q2_K, 1344), (.q3_K, 1824), (.q4_K, 2368), (.q5_K, 2880), (.q6_K, 3360),
        ]
        for (type, bytes) in superblocks {
            let view = try randomWeights(type, rows: 32, columns: 768, using: &generator)
            let matrix = try PackedMatrix(view)
            #expect(matrix.byteCount == 2 * 3 * bytes)
            #expect(Double(matrix.byteCount) <= 1.04 * Double(view.bytes.count))
        }
    }
}
