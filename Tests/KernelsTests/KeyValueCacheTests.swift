import Foundation
import Kernels
import Testing

/// One sequence in a cache whose block table is shuffled, with everything needed to compute the answer plainly.
private struct Problem {
    let kvHeads: Int
    let group: Int
    let width: Int
    let positions: Int
    let queries: Int
    let blockTable: [Int32]
    let keys: [Float]
    let values: [Float]
    let query: [Float]

    init(kvHeads: Int, group: Int, width: Int, positions: Int, queries: Int, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        self.kvHeads = kvHeads
        self.group = group
        self.width = width
        self.positions = positions
        self.queries = queries
        blockTable = (0..<Int32((positions + 15) / 16 + 2)).shuffled(using: &generator)
        keys = generator.floats(positions * kvHeads * width, in: -2...2)
        values = generator.floats(positions * kvHeads * width)
        query = generator.floats(queries * kvHeads * group * width, in: -2...2)
    }

    var stride: Int { kvHeads * group * width }
    var scale: Float { 1 / Float(width).squareRoot() }

    func cache(
        _ kernels: KernelSet, type: KeyValueType = .f16, poison: Bool = false
    ) throws -> KeyValueCache {
        let cache = try KeyValueCache(
            layerCount: 2, blockCount: blockTable.count, kvHeads: kvHeads, headWidth: width, type: type,
            kernels: kernels)
        if poison {
            // What an earlier owner may have left: every slot holds values no half can hold.
            let bad = [Float](repeating: .nan, count: kvHeads * width)
            let huge = [Float](repeating: .infinity, count: kvHeads * width)
            for block in 0..<Int32(cache.blockCount) {
                for offset in 0..<16 { cache.write(layer: 1, block: block, offset: offset, key: huge, value: bad) }
            }
        }
        for position in 0..<positions {
            keys.withUnsafeBufferPointer { keys in
                values.withUnsafeBufferPointer { values in
                    guard let key = keys.baseAddress, let value = values.baseAddress else { return }
                    cache.write(
                        layer: 1, block: blockTable[position / 16], offset: position % 16,
                        key: key + position * kvHeads * width, value: value + position * kvHeads * width)
                }
            }
        }
        return cache
    }

    /// All rows of all heads, `chunk` rows a call.
    func attend(_ cache: KeyValueCache, chunk: Int) -> [Float] {
        var output = [Float](repeating: .nan, count: queries * stride)
        for head in 0..<kvHeads {
            for first in Swift.stride(from: 0, to: queries * group, by: chunk) {
                cache.attend(
                    layer: 1, kvHead: head, group: group, rows: first..<min(first + chunk, queries * group),
                    query: query,
                    queryStride: stride, output: &output, outputStride: stride, blockTable: blockTable,
                    blockTableCount: blockTable.count, firstPosition: positions - queries, scale: scale)
            }
        }
        return output
    }

    /// The same, partition by partition.
    func attendInParts(_ cache: KeyValueCache) -> [Float] {
        var output = [Float](repeating: .nan, count: queries * stride)
        let size = KeyValueCache.partitionSize
        let partialWidth = KeyValueCache.partialWidth(headWidth: width)
        let rows = queries * group
        let count = (positions - 1) / size + 1
        for head in 0..<kvHeads {
            var partials = [Float](repeating: .nan, count: count * rows * partialWidth)
            for partition in 0..<count {
                let first = max(0, partition * size - (positions - queries)) * group
                partials.withUnsafeMutableBufferPointer { partials in
                    guard let base = partials.baseAddress else { return }
                    cache.attendPart(
                        layer: 1, kvHead: head, group: group, rows: first..<rows, partition: partition, query: query,
                        queryStride: stride, partials: base + (partition * rows + first) * partialWidth,
                        blockTable: blockTable, blockTableCount: blockTable.count,
                        firstPosition: positions - queries, scale: scale)
                }
            }
            for row in 0..<rows {
                let seen = (positions - queries + row / group) / size + 1
                var merged = [Float](repeating: 0, count: width)
                partials.withUnsafeBufferPointer { partials in
                    guard let base = partials.baseAddress else { return }
                    cache.merge(
                        partials: base + row * partialWidth, partitions: seen, stride: rows * partialWidth,
                        into: &merged)
                }
                let place = row / group * stride + (head * group + row % group) * width
                output.replaceSubrange(place..<place + width, with: merged)
            }
        }
        return output
    }

    func reference() -> [Float] {
        func half(_ x: Float) -> Double {
            var bits = halfBits(x)
            var value: Float = 0
            KernelSet(.generic)?.convertFromF16(&bits, count: 1, into: &value)
            return Double(value)
        }
        let keys = keys.map(half)
        let values = values.map(half)
        var output: [Float] = []
        for token in 0..<queries {
            for head in 0..<kvHeads * group {
                let kvHead = head / group
                let visible = positions - queries + token + 1
                let scores = (0..<visible).map { position in
                    (0..<width).reduce(0.0) { sum, d in
                        sum + Double(query[token * stride + head * width + d])
                            * keys[(position * kvHeads + kvHead) * width + d]
                    } * Double(scale)
                }
                let largest = scores.max() ?? 0
                let weights = scores.map { exp($0 - largest) }
                let total = weights.reduce(0, +)
                for d in 0..<width {
                    let sum = (0..<visible).reduce(0.0) {
                        $0 + weights[$1] * values[($1 * kvHeads + kvHead) * width + d]
                    }
                    output.append(Float(sum / total))
                }
            }
        }
        return output
    }
}

@Suite struct KeyValueCacheTests {
    @Test(
        "attention equals the plain formula and all sets agree to the bit",
        arguments: [(1, 1, 16), (3, 3, 64), (2, 4, 80), (1, 7, 128), (1, 2, 256)],
        [(1, 1), (15, 1), (16, 1), (17, 17), (33, 20), (70, 9), (128, 1), (129, 2), (150, 30), (300, 5)])
    func agrees(shape: (Int, Int, Int), length: (Int, Int)) throws {
        let problem = Problem(
            kvHeads: shape.0, group: shape.1, width: shape.2, positions: length.0, queries: length.1,
            seed: UInt64(shape.2 + length.0))
        let plain = problem.attend(try problem.cache(genericSet()), chunk: 8)
        expectClose(plain, problem.reference(), tolerance: 5e-6, "\(shape) \(length)")
        for set in simdSets {
            expectSameBits(
                problem.attend(try problem.cache(set), chunk: 8), plain, "\(shape) \(length) \(set.instructionSet)")
        }
    }

    @Test("a row's result does not depend on the rows computed with it")
    func chunkInvariance() throws {
        let problem = Problem(kvHeads: 2, group: 3, width: 32, positions: 75, queries: 40, seed: 5)
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
        let problem = Problem(kvHeads: 2, group: 3, width: 48, positions: positions, queries: queries, seed: 6)
        for set in try [genericSet()] + simdSets {
            let cache = try problem.cache(set)
            expectSameBits(
                problem.attendInParts(cache), problem.attend(cache, chunk: 8), "\(positions) \(set.instructionSet)")
        }
    }

    @Test("int8 attention stays near the plain formula, and all sets and partitions agree to the bit")
    func int8() throws {
        for (positions, queries, width) in [(1, 1, 16), (17, 17, 64), (150, 30, 80), (300, 5, 64)] {
            let problem = Problem(
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
        let problem = Problem(kvHeads: 1, group: 2, width: 16, positions: 21, queries: 6, seed: 8)
        for set in try [genericSet()] + simdSets {
            let clean = problem.attend(try problem.cache(set, type: type), chunk: 4)
            let reused = problem.attend(try problem.cache(set, type: type, poison: true), chunk: 4)
            expectSameBits(reused, clean, "\(set.instructionSet)")
        }
    }

    @Test("impossible caches are refused")
    func refusals() {
        #expect(throws: KernelError.self) { try KeyValueCache(layerCount: 1, blockCount: 1, kvHeads: 1, headWidth: 20) }
        #expect(throws: KernelError.self) {
            try KeyValueCache(layerCount: 1, blockCount: 1, kvHeads: 1, headWidth: 272)
        }
        #expect(throws: KernelError.self) {
            try KeyValueCache(layerCount: 1, blockCount: -1, kvHeads: 1, headWidth: 16)
        }
    }
}
