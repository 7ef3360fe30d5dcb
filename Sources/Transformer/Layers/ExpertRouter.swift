import Kernels

/// Chooses the experts of each token from the router's logits. All in f32, ties go to the lower index, and a token's
/// choice depends on its own logits only.
package struct ExpertRouter {
    let shape: ExpertConfiguration
    /// Takes part in the choice only, [E].
    let choiceBias: AlignedBuffer<Float>?

    package init(shape: ExpertConfiguration, choiceBias: AlignedBuffer<Float>?) {
        self.shape = shape
        self.choiceBias = choiceBias
    }

    /// Floats of scratch that `choose` needs.
    package static func scratchCount(_ shape: ExpertConfiguration) -> Int { 2 * shape.count + shape.groupCount }

    /// Chooses for one token.
    ///
    /// - Parameters:
    ///   - logits: [E].
    ///   - scratch: `scratchCount` floats.
    ///   - experts: [used], written, in the order chosen.
    ///   - weights: [used], written.
    package func choose(
        _ logits: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>, experts: UnsafeMutablePointer<Int32>,
        weights: UnsafeMutablePointer<Float>, kernels: KernelSet
    ) {
        let scores = scratch
        let choice = scratch + shape.count
        score(logits, into: scores, kernels: kernels)
        for expert in 0..<shape.count {
            let value = scores[expert] + (choiceBias?.pointer[expert] ?? 0)
            // Above what was dropped, whatever broken weights make of it.
            choice[expert] = value > -Float.greatestFiniteMagnitude ? value : -.greatestFiniteMagnitude
        }
        dropGroups(choice, groupScores: choice + shape.count)
        var sum: Float = 0
        for slot in 0..<shape.usedCount {
            let best = Self.best(choice, count: shape.count)
            choice[best] = .nan
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

    /// The lowest index of the largest value; what is no number, such as one chosen before, does not count.
    private static func best(_ values: UnsafePointer<Float>, count: Int) -> Int {
        var best = 0
        for index in 1..<max(1, count) where values[index] > values[best] || values[best].isNaN { best = index }
        return best
    }
}
