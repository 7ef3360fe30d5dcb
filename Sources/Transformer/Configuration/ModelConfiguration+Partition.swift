import InferenceCore

extension ModelConfiguration {
    /// Cuts the layers into `stages` contiguous ranges so that the largest stage, in weight bytes, is as small as it
    /// can be. The token embedding counts towards the first stage and the LM head towards the last.
    ///
    /// - Returns: `stages` non-empty ranges that cover `0..<layerCount` in order.
    /// - Throws: ``InferenceError`` `invalidRequest` when there are fewer layers than stages.
    package static func partition(_ weights: ModelWeights, stages: Int) throws -> [Range<Int>] {
        let count = weights.model.layerCount
        guard (1...count).contains(stages) else {
            throw InferenceError(
                code: .invalidRequest,
                message: "cannot cut \(count) layers into \(stages) stages (expected: 1...\(count))")
        }
        var bytes = weights.layerByteCounts
        // One row of the embedding is read per token, so it costs time only where it is tied to the LM head.
        bytes[count - 1] += weights.headByteCount
        return balancedRanges(bytes, count: stages)
    }

    /// Minimises the largest sum over contiguous ranges: binary search over the answer, greedy check.
    ///
    /// - Parameters:
    ///   - costs: One cost per layer, not negative.
    ///   - count: Ranges wanted, 1...`costs.count`.
    package static func balancedRanges(_ costs: [Int], count: Int) -> [Range<Int>] {
        precondition((1...costs.count).contains(count), "\(count) ranges over \(costs.count) layers")
        var low = costs.max() ?? 0
        var high = costs.reduce(0, +)
        while low < high {
            let middle = low + (high - low) / 2
            if greedyRanges(costs, limit: middle, count: count).count <= count {
                high = middle
            } else {
                low = middle + 1
            }
        }
        return greedyRanges(costs, limit: low, count: count)
    }

    /// Fills ranges up to `limit`, but never so greedily that a later range would be left without a layer.
    private static func greedyRanges(_ costs: [Int], limit: Int, count: Int) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var start = 0
        var sum = 0
        for (layer, cost) in costs.enumerated() {
            let rangesStillNeeded = count - ranges.count - 1
            let mustLeaveForOthers = costs.count - layer <= rangesStillNeeded
            if layer > start, sum + cost > limit || mustLeaveForOthers {
                ranges.append(start..<layer)
                start = layer
                sum = 0
            }
            sum += cost
        }
        ranges.append(start..<costs.count)
        return ranges
    }
}
