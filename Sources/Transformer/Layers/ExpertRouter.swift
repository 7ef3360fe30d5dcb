import Kernels

/// Chooses the experts of each token from the router's logits. All in f32, ties go to the lower index, and a token's
/// choice depends on its own logits only.
struct ExpertRouter {
    let shape: ExpertConfiguration
    /// Takes part in the choice only, [E].
    let choiceBias: AlignedVector?

    /// Floats of scratch that `choose` needs.
    static func scratchCount(_ shape: ExpertConfiguration) -> Int { 2 * shape.count + shape.groupCount }

    /// Chooses for one token.
    ///
    /// - Parameters:
    ///   - logits: [E].
    ///   - scratch: `scratchCount` floats.
    ///   - experts: [used], written, in the order chosen.
    ///   - weights: [used], written.
    func choose(
        _ logits: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>, experts: UnsafeMutablePointer<Int32>,
        weights: UnsafeMutablePointer<Float>, kernels: KernelSet
    ) {
        let scores = scratch
        let choice = scratch + shape.count
        score(logits, into: scores, kernels: kernels)
        for expert in 0..<shape.count { choice[expert] = scores[expert] + (choiceBias?.pointer[expert] ?? 0) }
        dropGroups(choice, groupScores: choice + shape.count)
        var sum: Float = 0
        for slot in 0..<shape.usedCount {
            let best = Self.best(choice, count: shape.count)
            choice[best] = -.infinity
            experts[slot] = Int32(best)
            weights[slot] = scores[best]
            sum += scores[best]
        }
        // As transformers has it, so that a sum of 0 gives no NaN.
        let divisor: Float = shape.isNormalized ? sum + 1e-20 : 1
        for slot in 0..<shape.usedCount { weights[slot] = weights[slot] / divisor * shape.weightScale }
    }

    private func score(_ logits: UnsafePointer<Float>, into scores: UnsafeMutablePointer<Float>, kernels: KernelSet) {
        switch shape.scoring {
        case .softmax:
            let largest = logits[Self.best(logits, count: shape.count)]
            let sum = kernels.expScaled(logits, count: shape.count, shift: largest, factor: 1, into: scores)
            for expert in 0..<shape.count { scores[expert] /= sum }
        case .sigmoid:
            _ = kernels.expScaled(logits, count: shape.count, shift: 0, factor: -1, into: scores)
            for expert in 0..<shape.count { scores[expert] = 1 / (1 + scores[expert]) }
        }
    }

    /// Leaves only the experts of the best groups.
    private func dropGroups(_ choice: UnsafeMutablePointer<Float>, groupScores: UnsafeMutablePointer<Float>) {
        guard shape.usedGroupCount < shape.groupCount else { return }
        let size = shape.count / shape.groupCount
        for group in 0..<shape.groupCount { groupScores[group] = groupScore(choice + group * size, count: size) }
        for _ in 0..<shape.usedGroupCount {
            groupScores[Self.best(groupScores, count: shape.groupCount)] = .nan
        }
        for group in 0..<shape.groupCount where !groupScores[group].isNaN {
            for expert in group * size..<(group + 1) * size { choice[expert] = -.infinity }
        }
    }

    private func groupScore(_ choice: UnsafePointer<Float>, count: Int) -> Float {
        let best = Self.best(choice, count: count)
        guard shape.groupScore == .sumOfTwoBest, count > 1 else { return choice[best] }
        var second = -Float.infinity
        for expert in 0..<count where expert != best { second = max(second, choice[expert]) }
        return choice[best] + second
    }

    /// The lowest index of the largest value; values that are no numbers do not count.
    private static func best(_ values: UnsafePointer<Float>, count: Int) -> Int {
        var best = 0
        for index in 1..<max(1, count) where values[index] > values[best] || values[best].isNaN { best = index }
        return best
    }
}

/// Which tokens go through which experts: every (token, choice) has a place, and an expert's places are neighbours.
struct ExpertPlan {
    /// Place of choice `k` of token `t` at `t * used + k`.
    private(set) var places: [Int32]
    /// Where each expert's places begin; one more for the end.
    private(set) var starts: [Int32]
    /// Experts that have a token.
    private(set) var active: [Int32] = []

    init(tokens: Int, shape: ExpertConfiguration) {
        places = Array(repeating: 0, count: tokens * shape.usedCount)
        starts = Array(repeating: 0, count: shape.count + 1)
        active.reserveCapacity(shape.count)
    }

    /// Sorts by expert, then by token.
    mutating func fill(_ chosen: UnsafePointer<Int32>, count: Int) {
        for index in starts.indices { starts[index] = 0 }
        for index in 0..<count { starts[Int(chosen[index]) + 1] += 1 }
        active.removeAll(keepingCapacity: true)
        for expert in 0..<starts.count - 1 {
            if starts[expert + 1] > 0 { active.append(Int32(expert)) }
            starts[expert + 1] += starts[expert]
        }
        for index in 0..<count {
            places[index] = starts[Int(chosen[index])]
            starts[Int(chosen[index])] += 1
        }
        // Each start has moved to its end, which is the next one's start.
        for expert in stride(from: starts.count - 1, to: 0, by: -1) { starts[expert] = starts[expert - 1] }
        starts[0] = 0
    }

    func places(of expert: Int) -> Range<Int> { Int(starts[expert])..<Int(starts[expert + 1]) }
}
