import Foundation
import Kernels
import Testing
import Transformer

struct ExpertRouterTests {
    private func shape(
        _ count: Int, used: Int, scoring: ExpertConfiguration.Scoring, groups: Int = 1, usedGroups: Int = 1,
        groupScore: ExpertConfiguration.GroupScore = .best, normalized: Bool = false, scale: Float = 1
    ) -> ExpertConfiguration {
        ExpertConfiguration(
            count: count, usedCount: used, width: 16, sharedWidth: 0, scoring: scoring, groupCount: groups,
            usedGroupCount: usedGroups, groupScore: groupScore, isNormalized: normalized, weightScale: scale,
            hasChoiceBias: false, leadingDenseLayers: 0)
    }

    private func choose(
        _ logits: [Float], _ shape: ExpertConfiguration, bias: [Float]? = nil
    ) throws -> (experts: [Int32], weights: [Float]) {
        let choiceBias = try bias.map { values in
            let buffer = try AlignedBuffer<Float>(count: values.count)
            for (index, value) in values.enumerated() { buffer[index] = value }
            return buffer
        }
        var scratch = [Float](repeating: 0, count: ExpertRouter.scratchCount(shape))
        var experts = [Int32](repeating: -1, count: shape.usedCount)
        var weights = [Float](repeating: -1, count: shape.usedCount)
        ExpertRouter(shape: shape, choiceBias: choiceBias).choose(
            logits, scratch: &scratch, experts: &experts, weights: &weights, kernels: .active)
        return (experts, weights)
    }

    @Test("softmax weights are those of all experts, the best come first, ties go to the lower index")
    func softmax() throws {
        let result = try choose([1, 3, 3, 2], shape(4, used: 3, scoring: .softmax, scale: 2))
        #expect(result.experts == [1, 2, 3])
        let sum = exp(1.0) + 2 * exp(3) + exp(2)
        for (found, expected) in zip(result.weights, [exp(3.0), exp(3), exp(2)]) {
            #expect(abs(Double(found) - 2 * expected / sum) < 1e-6)
        }
    }

    @Test("a bias decides who is chosen and not how much it counts; weights sum to the scale")
    func bias() throws {
        let shape = shape(4, used: 2, scoring: .sigmoid, normalized: true, scale: 2.5)
        let result = try choose([0, 1, 2, 3], shape, bias: [5, 0, 0, 0])
        #expect(result.experts == [0, 3])
        func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
        let sum = sigmoid(0) + sigmoid(3)
        #expect(abs(Double(result.weights[0]) - 2.5 * sigmoid(0) / sum) < 1e-6)
        #expect(abs(Double(result.weights[1]) - 2.5 * sigmoid(3) / sum) < 1e-6)
    }

    @Test("groups are chosen by their best or by their two best, and no expert comes from another group")
    func groups() throws {
        // Two groups of three: the first has the best expert, the second the two best together.
        let logits: [Float] = [4, -2, -3, 2, 1.5, 1]
        let best = shape(6, used: 2, scoring: .softmax, groups: 2)
        #expect(try choose(logits, best).experts == [0, 1])
        let two = shape(6, used: 2, scoring: .sigmoid, groups: 2, groupScore: .sumOfTwoBest)
        #expect(try choose(logits, two).experts == [3, 4])
        let both = shape(6, used: 2, scoring: .softmax, groups: 2, usedGroups: 2)
        #expect(try choose(logits, both).experts == [0, 3])
        // Equal groups: the first.
        #expect(try choose([1, 1, 1, 1], shape(4, used: 2, scoring: .softmax, groups: 2)).experts == [0, 1])
        // A group of one has no second.
        let single = shape(3, used: 1, scoring: .sigmoid, groups: 3, groupScore: .sumOfTwoBest)
        #expect(try choose([0, 2, 1], single).experts == [1])
    }

    @Test("logits that are no numbers choose some experts, each once")
    func notNumbers() throws {
        for logits in [[Float.nan, 1, .nan, 2], [.nan, .nan, .nan, .nan], [.infinity, -.infinity, 0, .nan]] {
            for scoring in [ExpertConfiguration.Scoring.softmax, .sigmoid] {
                let experts = try choose(logits, shape(4, used: 3, scoring: scoring)).experts
                #expect(Set(experts).count == 3 && experts.allSatisfy { (0..<4).contains($0) })
            }
        }
    }
}
