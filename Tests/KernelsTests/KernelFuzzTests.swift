import Foundation
import Kernels
import Tensors
import Testing

/// Random shapes, splits and values against the generic set. Every buffer is exactly as long as it must be, so that
/// AddressSanitizer (`make sanitize`) sees a kernel that reads or writes past an end.
///
/// `FATHOM_FUZZ_SHAPES` sets how many shapes of each type are tried (default 6), `FATHOM_FUZZ_SEED` where they start.
@Suite struct KernelFuzzTests {
    private static func setting(_ name: String, _ value: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap(Int.init) ?? value
    }

    private static let types: [ElementType] = quantizedTypes + [.f32, .f16, .bf16]

    /// One generator for each shape; its seed is all that a failure needs to name.
    private static func forEachSeed(_ salt: UInt32, _ body: (UInt64, inout SeededGenerator) throws -> Void) rethrows {
        let first = UInt64(setting("FATHOM_FUZZ_SEED", 1))
        for seed in first..<first + UInt64(setting("FATHOM_FUZZ_SHAPES", 6)) {
            var generator = SeededGenerator(seed: seed << 8 + UInt64(salt))
            try body(seed, &generator)
        }
    }

    @Test(
        "products of random shapes, ranges and strides: the same bits in all sets, nothing else written",
        arguments: types)
    func products(type: ElementType) throws {
        try Self.forEachSeed(type.rawValue) { seed, generator in
            let columns =
                type.blockSize == 1
                ? Int.random(in: 1...300, using: &generator)
                : type.blockSize * Int.random(in: 1...(type.blockSize == 32 ? 40 : 6), using: &generator)
            let rows = Int.random(in: 1...130, using: &generator)
            let product = RandomProduct(rows: rows, columns: columns, using: &generator)
            let matrix = try PackedMatrix(randomWeights(type, rows: rows, columns: columns, using: &generator))
            let note = "\(type.name) seed \(seed): \(product)"
            let plain = try product.run(matrix, kernels: genericSet())
            #expect(plain == plain.map { $0.isFinite ? $0 : 0 }, "\(note): not finite")
            for set in simdSets {
                expectSameBits(try product.run(matrix, kernels: set), plain, "\(note) \(set.instructionSet)")
            }
        }
    }

    @Test("fused gate and up of random shapes: the same bits in all sets", arguments: types)
    func fusedGateUp(type: ElementType) throws {
        try Self.forEachSeed(type.rawValue + 100) { seed, generator in
            let columns = max(type.blockSize, 32) * Int.random(in: 1...4, using: &generator)
            let rows = 16 * Int.random(in: 1...5, using: &generator)
            let gate = try randomWeights(type, rows: rows, columns: columns, using: &generator)
            let up = try randomWeights(type, rows: rows, columns: columns, using: &generator)
            let matrix = try PackedMatrix(gate: gate, up: up)
            let inputs = (0..<Int.random(in: 1...110, using: &generator)).map { _ in
                generator.activations(columns)
            }
            let pairs = generator.range(within: 0..<rows / 16)
            let activation: GateActivation = Bool.random(using: &generator) ? .silu : .geluTanh
            let results = try ([genericSet()] + simdSets).map { set in
                let buffer = try ActivationBuffer(
                    columns: columns, capacity: inputs.count, forms: matrix.needs, kernels: set)
                for (token, input) in inputs.enumerated() { buffer.store(input, token: token) }
                var output = [Float](repeating: 7, count: inputs.count * rows)
                matrix.multiplyGated(
                    buffer, tokens: 0..<inputs.count, pairs: pairs, activation: activation, into: &output,
                    outputStride: rows, kernels: set)
                return output
            }
            for result in results {
                expectSameBits(result, results[0], "\(type.name) seed \(seed): \(rows) x \(columns), pairs \(pairs)")
            }
        }
    }

    @Test(
        "attention of random geometry: the same bits in all sets and in any cut of rows",
        arguments: KeyValueType.allCases)
    func attention(type: KeyValueType) throws {
        try Self.forEachSeed(type == .f16 ? 201 : 202) { seed, generator in
            let positions = Int.random(in: 1...420, using: &generator)
            let problem = AttentionProblem(
                kvHeads: Int.random(in: 1...3, using: &generator), group: Int.random(in: 1...9, using: &generator),
                width: 16 * Int.random(in: 1...16, using: &generator), positions: positions,
                queries: Int.random(in: 1...min(positions, 40), using: &generator), seed: seed)
            let note = "\(type) seed \(seed): \(problem.shape)"
            let plain = problem.attend(try problem.cache(genericSet(), type: type), chunk: 8)
            for set in simdSets {
                let cache = try problem.cache(set, type: type, poison: seed % 2 == 0)
                let chunk = Int.random(in: 1...20, using: &generator)
                expectSameBits(problem.attend(cache, chunk: chunk), plain, "\(note) \(set.instructionSet)")
                expectSameBits(problem.attendInParts(cache), plain, "\(note) \(set.instructionSet) in parts")
            }
        }
    }

    @Test("rows of random length: the same bits in all sets")
    func rows() throws {
        try Self.forEachSeed(203) { seed, generator in
            let count = Int.random(in: 1...1_100, using: &generator)
            let x = generator.activations(count)
            let y = generator.floats(count)
            let plain = results(x, y, try genericSet())
            for set in simdSets {
                for (name, values) in results(x, y, set) {
                    expectSameBits(values, plain[name] ?? [], "\(name) of \(count), seed \(seed) \(set.instructionSet)")
                }
            }
        }
    }

    private func results(_ x: [Float], _ y: [Float], _ set: KernelSet) -> [String: [Float]] {
        var norm = x
        var sum = y
        var silu = x
        var gelu = x
        var exponentials = x
        var halves = [UInt16](repeating: 0, count: x.count)
        var back = x
        set.rmsNorm(norm, weight: y, epsilon: 1e-5, count: x.count, into: &norm)
        set.add(x, to: &sum, count: x.count)
        set.multiplyGate(.silu, gate: x, up: y, count: x.count, into: &silu)
        set.multiplyGate(.geluTanh, gate: x, up: y, count: x.count, into: &gelu)
        let (largest, logSumExp) = set.maxAndLogSumExp(x, count: x.count)
        let total = set.expScaled(exponentials, count: x.count, shift: largest, factor: 0.7, into: &exponentials)
        set.convertToF16(y, count: y.count, into: &halves)
        set.convertFromF16(halves, count: halves.count, into: &back)
        return [
            "rmsNorm": norm, "add": sum, "silu": silu, "gelu": gelu, "expScaled": exponentials, "f16": back,
            "reductions": [largest, logSumExp, total, Float(set.argmax(x, count: x.count))],
        ]
    }
}

/// Some tokens and panels of a product, written into rows that are longer than they need to be.
private struct RandomProduct: CustomStringConvertible {
    let rows: Int
    let columns: Int
    let inputs: [[Float]]
    let tokens: Range<Int>
    let panels: Range<Int>
    let outputStride: Int
    let accumulates: Bool

    init(rows: Int, columns: Int, using generator: inout SeededGenerator) {
        self.rows = rows
        self.columns = columns
        inputs = (0..<Int.random(in: 1...70, using: &generator)).map { _ in generator.activations(columns) }
        tokens = generator.range(within: 0..<inputs.count)
        panels = generator.range(within: 0..<(rows + 15) / 16)
        outputStride = rows + Int.random(in: 0...3, using: &generator)
        accumulates = Bool.random(using: &generator)
    }

    var description: String {
        "[\(rows), \(columns)] x \(inputs.count), tokens \(tokens), panels \(panels), stride \(outputStride)"
    }

    /// Up to the last value that is written; what must not be written stays 7.
    func run(_ matrix: PackedMatrix, kernels: KernelSet) throws -> [Float] {
        let buffer = try ActivationBuffer(
            columns: columns, capacity: inputs.count, forms: matrix.needs, kernels: kernels)
        for (token, input) in inputs.enumerated() { buffer.store(input, token: token) }
        let end = min(panels.upperBound * 16, rows)
        var output = [Float](repeating: 7, count: (tokens.upperBound - 1) * outputStride + end)
        matrix.multiply(
            buffer, tokens: tokens, panels: panels, into: &output, outputStride: outputStride,
            accumulate: accumulates, kernels: kernels)
        for (index, value) in output.enumerated() {
            let isAsked =
                tokens.contains(index / outputStride)
                && (panels.lowerBound * 16..<end).contains(index % outputStride)
            #expect(isAsked || value == 7, "\(self): \(index) was written")
        }
        return output
    }
}

extension SeededGenerator {
    /// A part of `bounds` that is not empty.
    fileprivate mutating func range(within bounds: Range<Int>) -> Range<Int> {
        let lower = Int.random(in: bounds, using: &self)
        return lower..<Int.random(in: lower + 1...bounds.upperBound, using: &self)
    }

    /// A row of inputs: even, with values that stand out, with blocks of zeros, tiny or large.
    fileprivate mutating func activations(_ count: Int) -> [Float] {
        var row = floats(count)
        switch Int.random(in: 0..<5, using: &self) {
        case 0: for _ in 0..<3 { row[Int.random(in: 0..<count, using: &self)] *= 80 }
        case 1: for index in row.indices where index / 32 % 3 == 1 { row[index] = 0 }
        case 2: row = row.map { $0 * 1e-30 }
        case 3: row = row.map { $0 * 1e4 }
        default: break
        }
        return row
    }
}
