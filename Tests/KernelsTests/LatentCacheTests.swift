import Foundation
import Kernels
import Testing

/// One sequence in a latent cache whose block table is shuffled.
private struct Problem {
    let heads: Int
    let rank: Int
    let ropeWidth: Int
    let positions: Int
    let queries: Int
    let blockTable: [Int32]
    let rows: [Float]
    let query: [Float]

    init(heads: Int, rank: Int, ropeWidth: Int, positions: Int, queries: Int, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        self.heads = heads
        self.rank = rank
        self.ropeWidth = ropeWidth
        self.positions = positions
        self.queries = queries
        blockTable = (0..<Int32((positions + 15) / 16 + 2)).shuffled(using: &generator)
        rows = generator.floats(positions * (rank + ropeWidth), in: -2...2)
        query = generator.floats(queries * heads * (rank + ropeWidth), in: -2...2)
    }

    var width: Int { rank + ropeWidth }
    var scale: Float { 1 / Float(width).squareRoot() }

    func cache(_ kernels: KernelSet, type: KeyValueType, poison: Bool = false) throws -> LatentCache {
        let cache = try LatentCache(
            layerCount: 2, blockCount: blockTable.count, rank: rank, ropeWidth: ropeWidth, type: type,
            kernels: kernels)
        if poison {
            let bad = [Float](repeating: .nan, count: rank)
            let huge = [Float](repeating: .infinity, count: ropeWidth)
            for block in 0..<Int32(cache.blockCount) {
                for offset in 0..<16 { cache.write(layer: 1, block: block, offset: offset, latent: bad, ropeKey: huge) }
            }
        }
        for position in 0..<positions {
            rows.withUnsafeBufferPointer { rows in
                guard let row = rows.baseAddress.map({ $0 + position * width }) else { return }
                cache.write(
                    layer: 1, block: blockTable[position / 16], offset: position % 16, latent: row,
                    ropeKey: row + rank)
            }
        }
        return cache
    }

    /// All rows, `chunk` rows a call.
    func attend(_ cache: LatentCache, chunk: Int) -> [Float] {
        var output = [Float](repeating: .nan, count: queries * heads * rank)
        for first in stride(from: 0, to: queries * heads, by: chunk) {
            cache.attend(
                layer: 1, heads: heads, rows: first..<min(first + chunk, queries * heads), query: query,
                queryStride: heads * width, output: &output, outputStride: heads * rank, blockTable: blockTable,
                blockTableCount: blockTable.count, firstPosition: positions - queries, scale: scale)
        }
        return output
    }

    func attendInParts(_ cache: LatentCache) -> [Float] {
        var output = [Float](repeating: .nan, count: queries * heads * rank)
        let size = KeyValueCache.partitionSize
        let partialWidth = LatentCache.partialWidth(rank: rank)
        let rows = queries * heads
        let count = (positions - 1) / size + 1
        var partials = [Float](repeating: .nan, count: count * rows * partialWidth)
        partials.withUnsafeMutableBufferPointer { partials in
            output.withUnsafeMutableBufferPointer { output in
                guard let base = partials.baseAddress, let output = output.baseAddress else { return }
                for partition in 0..<count {
                    let first = max(0, partition * size - (positions - queries)) * heads
                    cache.attendPart(
                        layer: 1, heads: heads, rows: first..<rows, partition: partition, query: query,
                        queryStride: heads * width, partials: base + (partition * rows + first) * partialWidth,
                        blockTable: blockTable, blockTableCount: blockTable.count,
                        firstPosition: positions - queries, scale: scale)
                }
                for row in 0..<rows {
                    cache.merge(
                        partials: base + row * partialWidth,
                        partitions: (positions - queries + row / heads) / size + 1, stride: rows * partialWidth,
                        into: output + row * rank)
                }
            }
        }
        return output
    }

    func reference(_ type: KeyValueType) -> [Float] {
        let rows = rows.map { (x: Float) -> Double in
            if type == .f32 { return Double(x) }
            var bits = halfBits(x)
            var value: Float = 0
            KernelSet(.generic)?.convertFromF16(&bits, count: 1, into: &value)
            return Double(value)
        }
        var output: [Float] = []
        for token in 0..<queries {
            for head in 0..<heads {
                let visible = positions - queries + token + 1
                let scores = (0..<visible).map { position in
                    (0..<width).reduce(0.0) {
                        $0 + Double(query[(token * heads + head) * width + $1]) * rows[position * width + $1]
                    } * Double(scale)
                }
                let largest = scores.max() ?? 0
                let weights = scores.map { exp($0 - largest) }
                let total = weights.reduce(0, +)
                for d in 0..<rank {
                    output.append(
                        Float((0..<visible).reduce(0.0) { $0 + weights[$1] * rows[$1 * width + d] } / total))
                }
            }
        }
        return output
    }
}

@Suite struct LatentCacheTests {
    @Test(
        "attention equals the plain formula; all sets, rows alone and partitions agree to the bit",
        arguments: [
            (1, 16, 8), (4, 32, 8), (3, 32, 16), (5, 21, 3), (2, 512, 64), (16, 48, 0), (9, 1, 1), (2, 130, 30),
        ],
        [(1, 1), (16, 2), (17, 17), (33, 1), (129, 4), (150, 30), (300, 5)])
    func agrees(shape: (Int, Int, Int), length: (Int, Int)) throws {
        let problem = Problem(
            heads: shape.0, rank: shape.1, ropeWidth: shape.2, positions: length.0, queries: length.1,
            seed: UInt64(shape.1 + length.0))
        for type in [KeyValueType.f16, .f32] {
            let note = "\(shape) \(length) \(type)"
            let plain = problem.attend(try problem.cache(genericSet(), type: type), chunk: 8)
            expectClose(plain, problem.reference(type), tolerance: 1e-5, note)
            for set in try [genericSet()] + simdSets {
                let cache = try problem.cache(set, type: type)
                for chunk in [1, 5, 16, 1000] {
                    expectSameBits(
                        problem.attend(cache, chunk: chunk), plain, "\(note), \(chunk) rows, \(set.instructionSet)")
                }
                expectSameBits(problem.attendInParts(cache), plain, "\(note), in parts, \(set.instructionSet)")
            }
        }
    }

    @Test("what an earlier owner left in a block cannot be seen", arguments: [KeyValueType.f16, .f32])
    func staleBlocks(type: KeyValueType) throws {
        let problem = Problem(heads: 3, rank: 20, ropeWidth: 6, positions: 21, queries: 6, seed: 8)
        for set in try [genericSet()] + simdSets {
            expectSameBits(
                problem.attend(try problem.cache(set, type: type, poison: true), chunk: 4),
                problem.attend(try problem.cache(set, type: type), chunk: 4), "\(set.instructionSet)")
        }
    }

    @Test("a position takes the latent and the rotated key, and not a byte more")
    func byteCounts() throws {
        for (rank, ropeWidth) in [(512, 64), (32, 8), (21, 3)] {
            for (type, size) in [(KeyValueType.f16, 2), (.f32, 4)] {
                let cache = try LatentCache(
                    layerCount: 3, blockCount: 2, rank: rank, ropeWidth: ropeWidth, type: type)
                #expect(cache.bytesPerToken == (rank + ropeWidth) * size)
                #expect(cache.bytesPerBlock == 3 * 16 * (rank + ropeWidth) * size)
            }
        }
    }

    @Test("impossible caches are refused")
    func refusals() {
        for (blocks, rank, rope, type) in [
            (1, 0, 8, KeyValueType.f16), (1, 1025, 8, .f16), (1, 16, -1, .f16), (-1, 16, 8, .f16), (1, 16, 8, .int8),
        ] {
            #expect(throws: KernelError.self) {
                try LatentCache(layerCount: 1, blockCount: blocks, rank: rank, ropeWidth: rope, type: type)
            }
        }
    }
}
