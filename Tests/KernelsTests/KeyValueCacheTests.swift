import Kernels
import Testing

@Suite struct KeyValueCacheTests {
    @Test(
        "attention equals the plain formula and all sets agree to the bit",
        arguments: [(1, 1, 16), (3, 3, 64), (2, 4, 80), (1, 7, 128), (1, 2, 256), (2, 2, 24), (2, 3, 1), (1, 4, 45)],
        [(1, 1), (15, 1), (16, 1), (17, 17), (33, 20), (70, 9), (128, 1), (129, 2), (150, 30), (300, 5)])
    func agrees(shape: (Int, Int, Int), length: (Int, Int)) throws {
        let problem = AttentionProblem(
            kvHeads: shape.0, group: shape.1, width: shape.2, positions: length.0, queries: length.1,
            seed: UInt64(shape.2 + length.0))
        for type in [KeyValueType.f16, .f32] {
            let note = "\(shape) \(length) \(type)"
            let plain = problem.attend(try problem.cache(genericSet(), type: type), chunk: 8)
            expectClose(plain, problem.reference(type), tolerance: 5e-6, note)
            for set in simdSets {
                expectSameBits(
                    problem.attend(try problem.cache(set, type: type), chunk: 8), plain, "\(note) \(set.instructionSet)"
                )
            }
        }
    }

    @Test("a row's result does not depend on the rows computed with it", arguments: [nil, 1, 20, 33])
    func chunkInvariance(window: Int?) throws {
        let problem = AttentionProblem(
            kvHeads: 2, group: 3, width: 32, positions: 75, queries: 40, window: window, seed: 5)
        for set in try [genericSet()] + simdSets {
            let cache = try problem.cache(set)
            let whole = problem.attend(cache, chunk: 120)
            for chunk in [1, 2, 3, 5, 7, 8, 11, 64] {
                expectSameBits(problem.attend(cache, chunk: chunk), whole, "chunk \(chunk) \(set.instructionSet)")
            }
        }
    }

    @Test(
        "partitions computed apart and merged give the same bits",
        arguments: [(1, 1), (128, 2), (129, 3), (150, 30), (400, 5)])
    func partitions(positions: Int, queries: Int) throws {
        let problem = AttentionProblem(kvHeads: 2, group: 3, width: 48, positions: positions, queries: queries, seed: 6)
        for set in try [genericSet()] + simdSets {
            let cache = try problem.cache(set)
            expectSameBits(
                problem.attendInParts(cache), problem.attend(cache, chunk: 8), "\(positions) \(set.instructionSet)")
        }
    }

    @Test(
        "a window equals masking; rows alone, in parts and in every set give the same bits",
        arguments: KeyValueType.allCases)
    func windows(type: KeyValueType) throws {
        for (positions, queries, window) in [
            (1, 1, 1), (40, 40, 16), (75, 40, 1), (150, 30, 17), (300, 5, 128), (300, 200, 31), (300, 200, 129),
            (290, 20, 1000),
        ] {
            let problem = AttentionProblem(
                kvHeads: 2, group: 3, width: 24, positions: positions, queries: queries, window: window, seed: 10)
            let note = "\(positions) \(queries) \(window)"
            let plain = problem.attend(try problem.cache(genericSet(), type: type), chunk: 8)
            expectClose(plain, problem.reference(type), tolerance: type == .int8 ? 0.04 : 5e-6, note)
            for set in try [genericSet()] + simdSets {
                let cache = try problem.cache(set, type: type)
                for chunk in [1, 3, 7, 100] {
                    expectSameBits(
                        problem.attend(cache, chunk: chunk), plain, "\(note), \(chunk) rows, \(set.instructionSet)")
                }
                expectSameBits(problem.attendInParts(cache), plain, "\(note), in parts, \(set.instructionSet)")
            }
        }
    }

    @Test("blocks outside the window are not touched")
    func forgottenBlocks() throws {
        let problem = AttentionProblem(
            kvHeads: 1, group: 2, width: 16, positions: 300, queries: 3, window: 40, seed: 11)
        // The first token sees 258...297, so blocks 0..<16 are gone; their ids would be refused.
        var blockTable = problem.blockTable
        for index in 0..<16 { blockTable[index] = -1 }
        for set in try [genericSet()] + simdSets {
            let cache = try problem.cache(set)
            expectSameBits(
                problem.attend(cache, chunk: 4, blockTable: blockTable), problem.attend(cache, chunk: 4),
                "\(set.instructionSet)")
        }
    }

    @Test("int8 attention stays near the plain formula, and all sets and partitions agree to the bit")
    func int8() throws {
        for (positions, queries, width) in [
            (1, 1, 16), (17, 17, 64), (150, 30, 80), (300, 5, 64), (40, 9, 24), (20, 3, 33),
        ] {
            let problem = AttentionProblem(
                kvHeads: 2, group: 3, width: width, positions: positions, queries: queries, seed: 9)
            let plain = problem.attend(try problem.cache(genericSet(), type: .int8), chunk: 8)
            // Values of at most 1 and scores of some units, each rounded to 1 of 127 parts.
            expectClose(plain, problem.reference(), tolerance: 0.04, "\(positions) \(queries)")
            for set in simdSets {
                let cache = try problem.cache(set, type: .int8)
                expectSameBits(problem.attend(cache, chunk: 8), plain, "\(positions) \(set.instructionSet)")
                expectSameBits(problem.attend(cache, chunk: 1), plain, "rows alone, \(set.instructionSet)")
                expectSameBits(problem.attendInParts(cache), plain, "in parts, \(set.instructionSet)")
            }
        }
    }

    @Test("what an earlier owner left in a block cannot be seen", arguments: KeyValueType.allCases)
    func staleBlocks(type: KeyValueType) throws {
        let problem = AttentionProblem(kvHeads: 1, group: 2, width: 16, positions: 21, queries: 6, seed: 8)
        for set in try [genericSet()] + simdSets {
            let clean = problem.attend(try problem.cache(set, type: type), chunk: 4)
            let reused = problem.attend(try problem.cache(set, type: type, poison: true), chunk: 4)
            expectSameBits(reused, clean, "\(set.instructionSet)")
        }
    }

    @Test("impossible caches are refused")
    func refusals() {
        #expect(throws: KernelError.self) { try KeyValueCache(layerCount: 1, blockCount: 1, kvHeads: 1, headWidth: 0) }
        #expect(throws: KernelError.self) {
            try KeyValueCache(layerCount: 1, blockCount: 1, kvHeads: 1, headWidth: 272)
        }
        #expect(throws: KernelError.self) {
            try KeyValueCache(layerCount: 1, blockCount: -1, kvHeads: 1, headWidth: 16)
        }
    }
}
