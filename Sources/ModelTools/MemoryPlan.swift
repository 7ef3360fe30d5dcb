/// How a model lies over machines: its layers cut into stages, and what each stage needs.
package struct MemoryPlan: Sendable, Equatable, Codable {
    /// One pipeline stage.
    package struct Stage: Sendable, Equatable, Codable {
        /// First layer, and the one after the last.
        package var firstLayer: Int
        package var endLayer: Int
        package var weightByteCount: Int
        /// For the whole context that was asked for; layers with a sliding window need no more than that.
        package var kvByteCount: Int
        /// The same where every layer keeps the whole context, as this engine's blocks do.
        package var keptKVByteCount: Int

        /// With the cache that this engine keeps.
        package var byteCount: Int { weightByteCount.addedClamped(to: keptKVByteCount) }
    }

    package var contextTokens: Int
    package var stages: [Stage]

    /// Cuts the layers into `count` ranges so that the heaviest stage is as light as possible.
    ///
    /// The token embedding counts for the first stage and what follows the layers for the last; a tied embedding counts
    /// for both when they are two.
    /// - Parameter contextTokens: positions to keep in the cache.
    package init(_ summary: ModelSummary, stages count: Int, contextTokens: Int) {
        self.contextTokens = contextTokens
        let count = max(1, min(count, summary.layerCount))
        var weights = summary.layerByteCounts
        weights[0] += summary.inputByteCount
        weights[weights.count - 1] += summary.outputByteCount
        // No head of its own: the last stage reads the embedding.
        if count > 1, summary.outputByteCount < summary.inputByteCount / 4 {
            weights[weights.count - 1] += summary.inputByteCount
        }
        stages = Self.ranges(weights, count: count).map { range in
            Stage(
                firstLayer: range.lowerBound, endLayer: range.upperBound,
                weightByteCount: range.reduce(0) { $0 + weights[$1] },
                kvByteCount: summary.kvByteCount(
                    contextTokens: contextTokens, layers: range.count,
                    slidingLayers: range.count(where: summary.isSliding)),
                keptKVByteCount: summary.kvByteCount(
                    contextTokens: contextTokens, layers: range.count, slidingLayers: 0))
        }
    }

    /// Bytes of the heaviest stage.
    package var largestStageByteCount: Int { stages.map(\.byteCount).max() ?? 0 }

    /// The fewest stages whose heaviest fits in `memory` bytes with an eighth to spare; nil when none does.
    package static func fewestStages(_ summary: ModelSummary, memory: Int, contextTokens: Int) -> Int? {
        (1...summary.layerCount).first { count in
            MemoryPlan(summary, stages: count, contextTokens: contextTokens).largestStageByteCount <= memory / 8 * 7
        }
    }

    /// The longest context that one process with `memory` bytes can keep, with an eighth to spare; at most what the model
    /// was trained for, 0 when not even the weights fit.
    package static func longestContext(_ summary: ModelSummary, memory: Int) -> Int {
        let room = memory / 8 * 7 - summary.weightByteCount
        guard room > 0 else { return 0 }
        return summary.kvBytesPerToken > 0
            ? min(room / summary.kvBytesPerToken, summary.contextTokens) : summary.contextTokens
    }

    /// The least possible limit of a range's weight, by bisection, then ranges filled up to it.
    private static func ranges(_ weights: [Int], count: Int) -> [Range<Int>] {
        var low = weights.max() ?? 0
        var high = weights.reduce(0, +)
        while low < high {
            let middle = low + (high - low) / 2
            if greedy(weights, limit: middle, count: count).count <= count { high = middle } else { low = middle + 1 }
        }
        return greedy(weights, limit: low, count: count)
    }

    /// Fills ranges up to `limit`, but leaves a layer for each range still to come.
    private static func greedy(_ weights: [Int], limit: Int, count: Int) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var start = 0
        var sum = 0
        for (layer, weight) in weights.enumerated() {
            let needed = count - ranges.count - 1
            if layer > start, sum + weight > limit || weights.count - layer <= needed {
                ranges.append(start..<layer)
                (start, sum) = (layer, 0)
            }
            sum += weight
        }
        return ranges + [start..<weights.count]
    }
}
