import Foundation
import Kernels
import Testing

/// One sequence in a cache whose block table is shuffled, with everything needed to compute the answer plainly.
struct AttentionProblem {
    let kvHeads: Int
    let group: Int
    let width: Int
    let positions: Int
    let queries: Int
    /// Positions a token sees, its own included; nil: all.
    let window: Int?
    let blockTable: [Int32]
    let keys: [Float]
    let values: [Float]
    let query: [Float]

    init(kvHeads: Int, group: Int, width: Int, positions: Int, queries: Int, window: Int? = nil, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        self.kvHeads = kvHeads
        self.group = group
        self.width = width
        self.positions = positions
        self.queries = queries
        self.window = window
        blockTable = (0..<Int32((positions + 15) / 16 + 2)).shuffled(using: &generator)
        keys = generator.floats(positions * kvHeads * width, in: -2...2)
        values = generator.floats(positions * kvHeads * width)
        query = generator.floats(queries * kvHeads * group * width, in: -2...2)
    }

    var shape: String {
        "\(kvHeads) heads, group \(group), width \(width), \(queries) of \(positions) positions"
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
    func attend(_ cache: KeyValueCache, chunk: Int, blockTable: [Int32]? = nil) -> [Float] {
        let blockTable = blockTable ?? self.blockTable
        var output = [Float](repeating: .nan, count: queries * stride)
        for head in 0..<kvHeads {
            for first in Swift.stride(from: 0, to: queries * group, by: chunk) {
                cache.attend(
                    layer: 1, kvHead: head, group: group, rows: first..<min(first + chunk, queries * group),
                    query: query, queryStride: stride, output: &output, outputStride: stride, blockTable: blockTable,
                    blockTableCount: blockTable.count, firstPosition: positions - queries, window: window, scale: scale)
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
            let visible = KeyValueCache.visiblePartitions(position: positions - queries, window: window).lowerBound
            for partition in visible..<count {
                let first = max(0, partition * size - (positions - queries)) * group
                partials.withUnsafeMutableBufferPointer { partials in
                    guard let base = partials.baseAddress else { return }
                    cache.attendPart(
                        layer: 1, kvHead: head, group: group, rows: first..<rows, partition: partition, query: query,
                        queryStride: stride, partials: base + (partition * rows + first) * partialWidth,
                        blockTable: blockTable, blockTableCount: blockTable.count,
                        firstPosition: positions - queries, window: window, scale: scale)
                }
            }
            for row in 0..<rows {
                let seen = KeyValueCache.visiblePartitions(
                    position: positions - queries + row / group, window: window)
                var merged = [Float](repeating: 0, count: width)
                partials.withUnsafeBufferPointer { partials in
                    guard let base = partials.baseAddress else { return }
                    cache.merge(
                        partials: base + (seen.lowerBound * rows + row) * partialWidth, partitions: seen.count,
                        stride: rows * partialWidth,
                        into: &merged)
                }
                let place = row / group * stride + (head * group + row % group) * width
                output.replaceSubrange(place..<place + width, with: merged)
            }
        }
        return output
    }

    /// The plain formula over keys and values as the type holds them; int8 as f16.
    func reference(_ type: KeyValueType = .f16) -> [Float] {
        func half(_ x: Float) -> Double {
            if type == .f32 { return Double(x) }
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
                let end = positions - queries + token + 1
                let visible = max(0, end - (window ?? end))..<end
                let scores = visible.map { position in
                    (0..<width).reduce(0.0) { sum, d in
                        sum + Double(query[token * stride + head * width + d])
                            * keys[(position * kvHeads + kvHead) * width + d]
                    } * Double(scale)
                }
                let largest = scores.max() ?? 0
                let weights = scores.map { exp($0 - largest) }
                let total = weights.reduce(0, +)
                for d in 0..<width {
                    let sum = visible.reduce(0.0) {
                        $0 + weights[$1 - visible.lowerBound] * values[($1 * kvHeads + kvHead) * width + d]
                    }
                    output.append(Float(sum / total))
                }
            }
        }
        return output
    }
}
