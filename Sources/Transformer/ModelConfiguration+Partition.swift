import InferenceCore
import ModelFiles
import Tensors

extension ModelConfiguration {
    /// Cuts the layers into `stages` contiguous ranges so that the largest stage, in weight bytes, is as small as it
    /// can be. The token embedding counts towards the first stage and the LM head towards the last.
    ///
    /// - Returns: `stages` non-empty ranges that cover `0..<layerCount` in order.
    /// - Throws: ``InferenceError`` `invalidRequest` when there are fewer layers than stages.
    package static func partition(file: GGUFFile, stages: Int) throws -> [Range<Int>] {
        let model = try ModelConfiguration(metadata: file.metadata)
        guard (1...model.layerCount).contains(stages) else {
            throw InferenceError(
                code: .invalidRequest,
                message:
                    "cannot cut \(model.layerCount) layers into \(stages) stages (expected: 1...\(model.layerCount))")
        }
        var bytes = [Int](repeating: 0, count: model.layerCount)
        var head = 0
        for (name, tensor) in file.tensors {
            if let layer = TensorName.layerIndex(of: name), layer < model.layerCount {
                bytes[layer] += tensor.bytes.count
            } else if name == TensorName.output {
                head = tensor.bytes.count
            }
        }
        // One row of the embedding is read per token, so it costs time only where it is tied to the LM head.
        if head == 0 { head = file.tensors[TensorName.tokenEmbedding]?.bytes.count ?? 0 }
        bytes[model.layerCount - 1] += head
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

/// Tensor names of a llama GGUF file.
package enum TensorName {
    package static let tokenEmbedding = "token_embd.weight"
    package static let outputNorm = "output_norm.weight"
    package static let output = "output.weight"
    package static let ropeFrequencyFactors = "rope_freqs.weight"

    package static func layer(_ index: Int, _ part: String) -> String { "blk.\(index).\(part).weight" }

    /// The layer a name such as "blk.7.attn_q.weight" belongs to, or nil for the tensors outside all layers.
    package static func layerIndex(of name: String) -> Int? {
        let parts = name.split(separator: ".", maxSplits: 2)
        guard parts.count == 3, parts[0] == "blk" else { return nil }
        return Int(parts[1])
    }
}
