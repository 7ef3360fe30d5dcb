import Kernels
import Tensors
import Testing

/// A small mixture of experts with random weights and choices.
private struct Mixture {
    let experts = 6
    let slots = 3
    let width = 64
    let hidden = 48
    let gateUp: [PackedMatrix]
    let down: [PackedMatrix]
    let inputs: [[Float]]
    let choices: [[Int32]]
    let weights: [[Float]]

    init(type: ElementType, tokens: Int, seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        func matrix(_ rows: Int, _ columns: Int) throws -> TensorView {
            try randomWeights(type, rows: rows, columns: columns, using: &generator)
        }
        let (width, hidden) = (width, hidden)
        gateUp = try (0..<experts).map { _ in
            try PackedMatrix(gate: matrix(hidden, width), up: matrix(hidden, width))
        }
        // Quantised rows of the second product are whole blocks.
        down = try (0..<experts).map { _ in try PackedMatrix(matrix(width, 64)) }
        inputs = (0..<tokens).map { _ in generator.floats(width, in: -3...3) }
        choices = (0..<tokens).map { _ in Array((0..<Int32(6)).shuffled(using: &generator).prefix(3)) }
        weights = (0..<tokens).map { _ in generator.floats(3, in: 0...1) }
    }

    /// One expert for one token by itself.
    private func alone(_ expert: Int, _ input: [Float], kernels: KernelSet) throws -> [Float] {
        let x = try ActivationBuffer(columns: width, capacity: 1, forms: gateUp[0].needs, kernels: kernels)
        x.store(input, token: 0)
        var activated = [Float](repeating: 0, count: 64)
        gateUp[expert].multiplyGated(
            x, tokens: 0..<1, pairs: 0..<3, into: &activated, outputStride: hidden, kernels: kernels)
        let y = try ActivationBuffer(columns: 64, capacity: 1, forms: down[0].needs, kernels: kernels)
        y.store(activated, token: 0)
        var output = [Float](repeating: 0, count: width)
        down[expert].multiply(y, tokens: 0..<1, panels: 0..<4, into: &output, outputStride: width, kernels: kernels)
        return output
    }

    /// Token by token, slot by slot.
    func reference(kernels: KernelSet) throws -> [Float] {
        try inputs.indices.flatMap { token in
            var sum = inputs[token]
            for slot in 0..<slots {
                let output = try alone(Int(choices[token][slot]), inputs[token], kernels: kernels)
                kernels.addScaled(output, scale: weights[token][slot], to: &sum, count: width)
            }
            return sum
        }
    }

    /// As a stage does it.
    func planned(threads: Int, rowsPerBlock: Int, kernels: KernelSet) throws -> [Float] {
        let pool = try ThreadPool(threadCount: threads)
        let tokens = inputs.count
        let plans = try (0..<threads).map { _ in
            try ExpertPlan(
                expertCount: experts, slots: slots, capacity: tokens, columns: width, forms: gateUp[0].needs,
                rowsPerBlock: rowsPerBlock, kernels: kernels)
        }
        let x = try ActivationBuffer(columns: width, capacity: tokens, forms: gateUp[0].needs, kernels: kernels)
        for (token, input) in inputs.enumerated() { x.store(input, token: token) }
        let y = try ActivationBuffer(columns: 64, capacity: tokens * slots, forms: down[0].needs, kernels: kernels)
        let activated = try AlignedBuffer<Float>(count: tokens * slots * 64)
        let products = try AlignedBuffer<Float>(count: tokens * slots * width)
        let output = try AlignedBuffer<Float>(count: tokens * width)
        for (index, value) in inputs.joined().enumerated() { output[index] = value }
        let choices = Array(choices.joined())
        pool.run { thread in
            let plan = plans[thread]
            plan.assign(choices, tokens: tokens)
            pool.forEachChunk(of: plan.itemCount(panels: 3, chunk: 2), chunk: 1) { items in
                for index in items {
                    let (block, pairs) = plan.item(index, panels: 3, chunk: 2)
                    let (input, at) = plan.inputs(of: block, from: x)
                    gateUp[block.expert].multiplyGated(
                        input, tokens: at, pairs: pairs,
                        into: activated.pointer + (block.rows.lowerBound - at.lowerBound) * 64, outputStride: 64,
                        kernels: kernels)
                }
            }
            pool.barrier()
            pool.forEachChunk(of: plan.rowCount, chunk: 4) { rows in
                for row in rows { y.store(activated.pointer + row * 64, token: row) }
            }
            pool.barrier()
            pool.forEachChunk(of: plan.itemCount(panels: 4, chunk: 3), chunk: 1) { items in
                for index in items {
                    let (block, panels) = plan.item(index, panels: 4, chunk: 3)
                    down[block.expert].multiply(
                        y, tokens: block.rows, panels: panels, into: products.pointer, outputStride: width,
                        kernels: kernels)
                }
            }
            pool.barrier()
            pool.forEachChunk(of: tokens, chunk: 2) { chunk in
                for token in chunk {
                    for slot in 0..<slots {
                        kernels.addScaled(
                            products.pointer + plan.row(token: token, slot: slot) * width,
                            scale: weights[token][slot], to: output.pointer + token * width, count: width)
                    }
                }
            }
        }
        return Array(output.buffer)
    }
}

@Suite struct ExpertPlanTests {
    @Test(
        "a mixture gives the bits of its experts alone, whatever the step, blocks, threads and set",
        arguments: [ElementType.q4_0, .q8_0, .bf16, .f32], [1, 2, 5, 40])
    func sameBits(type: ElementType, tokens: Int) throws {
        let mixture = try Mixture(type: type, tokens: tokens, seed: UInt64(tokens))
        let expected = try mixture.reference(kernels: genericSet())
        for set in try [genericSet()] + simdSets {
            for (threads, rowsPerBlock) in [(1, 64), (2, 64), (3, 1), (2, 7)] {
                expectSameBits(
                    try mixture.planned(threads: threads, rowsPerBlock: rowsPerBlock, kernels: set), expected,
                    "\(type.name) \(tokens) \(threads) \(rowsPerBlock) \(set.instructionSet)")
            }
        }
    }

    @Test("blocks hold every pair once, ordered by expert and token, and a plan can be made again")
    func order() throws {
        var generator = SeededGenerator(seed: 31)
        let plan = try ExpertPlan(
            expertCount: 9, slots: 4, capacity: 50, columns: 32, forms: .float, rowsPerBlock: 5)
        for tokens in [50, 0, 1, 17] {
            let choices = (0..<tokens).flatMap { _ in (0..<Int32(9)).shuffled(using: &generator).prefix(4) }
            plan.assign(choices, tokens: tokens)
            #expect(plan.rowCount == tokens * 4)
            #expect(plan.blocks.flatMap { Array($0.rows) } == Array(0..<tokens * 4))
            #expect(plan.blocks.allSatisfy { $0.rows.count <= 5 && !$0.rows.isEmpty })
            #expect(plan.blocks.map(\.expert) == plan.blocks.map(\.expert).sorted())
            var seen = Set<Int>()
            for token in 0..<tokens {
                for slot in 0..<4 {
                    let row = plan.row(token: token, slot: slot)
                    seen.insert(row)
                    #expect(plan.token(row: row) == token)
                    let block = plan.blocks.first { $0.rows.contains(row) }
                    #expect(block?.expert == Int(choices[token * 4 + slot]))
                }
            }
            #expect(seen.count == tokens * 4)
        }
    }

    @Test("impossible plans are refused")
    func refusals() {
        for (experts, slots, capacity) in [(0, 1, 1), (1, 0, 1), (1, 1, -1)] {
            #expect(throws: KernelError.self) {
                try ExpertPlan(
                    expertCount: experts, slots: slots, capacity: capacity, columns: 32, forms: .float)
            }
        }
    }
}
