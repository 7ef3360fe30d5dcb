/// The drawing of one token, with buffers that are reused from token to token.
///
/// Top-k and top-p need the likeliest tokens in order, but sorting a vocabulary costs more than a small model's layer.
/// So weights are counted into bins on a logarithmic scale first, and only the bins that can matter are sorted.
package struct SamplerScratch: Sendable {
    private struct Candidate {
        var weight: Float
        var index: Int32
    }

    /// Eight bins for each halving of the weight, 32 halvings; the last bin takes the rest.
    private static let binCount = 256

    /// e^((logit - maximum) / temperature) of each token, so the likeliest weighs 1.
    private var weights: [Float] = []
    private var binCounts: [Int] = []
    private var binWeights: [Double] = []
    private var candidates: [Candidate] = []

    package init() {}

    /// Draws an index by inverse transform from the tokens that pass min-p, then top-k, then top-p.
    ///
    /// Without any of the three the order of the transform is that of the ids, otherwise likeliest first.
    ///
    /// - Parameters:
    ///   - parameters: not greedy.
    ///   - uniform: 0..<1.
    /// - Returns: nil when no logit is a finite number.
    mutating func draw(
        _ logits: UnsafeBufferPointer<Float>, parameters: SamplingParameters, uniform: Double
    ) -> Int? {
        let maximum = LogitMath.maximum(logits)
        guard maximum.isFinite else { return nil }
        if weights.count != logits.count { weights = Array(repeating: 0, count: logits.count) }
        let total = weights.withUnsafeMutableBufferPointer { weights in
            LogitMath.exponentialSum(
                logits, maximum: maximum, scale: parameters.logitScale, weights: weights.baseAddress)
        }
        guard parameters.topK > 0 || parameters.topP < 1 || Float(parameters.minP) > 0 else {
            return pickAny(target: uniform * total)
        }
        selectCandidates(topK: parameters.topK, topP: parameters.topP, minWeight: Float(parameters.minP))
        return pickCandidate(uniform: uniform)
    }

    /// The index at which the running sum of weights passes `target`.
    private func pickAny(target: Double) -> Int? {
        var sum = 0.0
        var last: Int?
        for (index, weight) in weights.enumerated() where weight > 0 {
            sum += Double(weight)
            last = index
            if sum > target { break }
        }
        return last
    }

    /// The same among the candidates.
    private func pickCandidate(uniform: Double) -> Int? {
        let target = uniform * candidates.reduce(0.0) { $0 + Double($1.weight) }
        var sum = 0.0
        for candidate in candidates {
            sum += Double(candidate.weight)
            if sum > target { return Int(candidate.index) }
        }
        return candidates.last.map { Int($0.index) }
    }

    /// Leaves in `candidates` what passes, likeliest first, ties by the lower id.
    private mutating func selectCandidates(topK: Int, topP: Double, minWeight: Float) {
        let total = countBins(minWeight: minWeight)
        let lastBin = lastBinNeeded(topK: topK, topP: topP, total: total)
        candidates.removeAll(keepingCapacity: true)
        for (index, weight) in weights.enumerated()
        where weight > 0 && weight >= minWeight && Self.bin(of: weight) <= lastBin {
            candidates.append(Candidate(weight: weight, index: Int32(index)))
        }
        candidates.sort { $0.weight != $1.weight ? $0.weight > $1.weight : $0.index < $1.index }

        if topK > 0, candidates.count > topK { candidates.removeLast(candidates.count - topK) }
        guard topP < 1 else { return }
        let kept = topK > 0 ? candidates.reduce(0.0) { $0 + Double($1.weight) } : total
        var sum = 0.0
        let crossing = candidates.firstIndex {
            sum += Double($0.weight)
            return sum >= topP * kept
        }
        if let crossing { candidates.removeLast(candidates.count - crossing - 1) }
    }

    /// Counts the weights that pass min-p into bins; returns their sum.
    private mutating func countBins(minWeight: Float) -> Double {
        binCounts = Array(repeating: 0, count: Self.binCount)
        binWeights = Array(repeating: 0, count: Self.binCount)
        for weight in weights where weight > 0 && weight >= minWeight {
            let bin = Self.bin(of: weight)
            binCounts[bin] += 1
            binWeights[bin] += Double(weight)
        }
        return binWeights.reduce(0, +)
    }

    /// The last bin that top-k or top-p can reach into.
    private func lastBinNeeded(topK: Int, topP: Double, total: Double) -> Int {
        guard topK > 0 || topP < 1 else { return Self.binCount - 1 }
        var count = 0
        var sum = 0.0
        for bin in 0..<Self.binCount {
            count += binCounts[bin]
            sum += binWeights[bin]
            if topK > 0 && count >= topK || topP < 1 && sum >= topP * total { return bin }
        }
        return Self.binCount - 1
    }

    /// The bin of a weight in 0...1, from its exponent and its three highest fraction bits; bin 0 holds weight 1.
    private static func bin(of weight: Float) -> Int {
        let one = Int(Float(1).bitPattern >> 20)
        return min(max(one - Int(weight.bitPattern >> 20), 0), binCount - 1)
    }
}
