import Foundation
import InferenceCore
import Testing
import Transformer

/// The forward pass on the real demo model.
@Suite(.serialized) struct TransformerStageTests {
    @Test("log-probabilities stay within llama.cpp's distance of the fp32 reference")
    func oracle() throws {
        let harness = try StageHarness()
        var divergence = 0.0
        var agreeing = 0
        var positions = 0
        for text in try OracleText.all() {
            for chunkStart in stride(from: 0, to: text.tokens.count, by: 256) {
                let end = min(chunkStart + 256, text.tokens.count)
                let logits = try harness.run(
                    [
                        makeStep(
                            id: 1, start: chunkStart, tokens: Array(text.tokens[chunkStart..<end]), firstBlock: 0,
                            sample: true)
                    ], everyToken: true)
                for (offset, row) in logits.enumerated() {
                    let reference = text.top[chunkStart + offset]
                    let largest = Double(row.max() ?? 0)
                    let normalizer = largest + log(row.reduce(0) { $0 + exp(Double($1) - largest) })
                    divergence += reference.reduce(0) { sum, entry in
                        sum + exp(entry[1]) * (entry[1] - (Double(row[Int(entry[0])]) - normalizer))
                    }
                    agreeing += argmax(row) == TokenID(reference[0][0]) ? 1 : 0
                    positions += 1
                }
            }
        }
        let mean = divergence / Double(positions)
        let share = Double(agreeing) / Double(positions)
        print("oracle: \(positions) positions, mean KL \(mean), equal top \(share)")
        #expect(mean <= 0.0025)
        #expect(share >= 0.975)
    }

    @Test("greedy tokens are equal for every prefill chunking, thread count and number of stages")
    func sameTokensHoweverComputed() throws {
        let prompt = try #require(try OracleText.all().max { $0.tokens.count < $1.tokens.count }).tokens
        let expected = try StageHarness(threads: 1).greedy(prompt, count: 24)
        #expect(try StageHarness(threads: 2).greedy(prompt, count: 24, chunk: 7) == expected)
        #expect(
            try StageHarness(stages: 2, threads: 3).greedy(prompt, count: 24, chunk: 33, firstBlock: 40) == expected)
        #expect(try StageHarness(stages: 3, threads: 1).greedy(prompt, count: 24, chunk: 1) == expected)
    }

    @Test("a sequence's logits have the same bits alone and in a batch with others")
    func sameBitsInABatch() throws {
        let texts = try OracleText.all().prefix(8).map { Array($0.tokens.prefix(20)) }
        let harness = try StageHarness()
        let alone = try texts.map {
            try harness.run([makeStep(id: 1, start: 0, tokens: $0, firstBlock: 0, sample: true)])[0]
        }
        let together = try harness.run(
            texts.enumerated().map { index, tokens in
                makeStep(id: UInt64(index), start: 0, tokens: tokens, firstBlock: Int32(index * 4), sample: true)
            })
        for (a, b) in zip(alone, together) { #expect(a == b) }
        // And one decode step for all of them at once against one at a time.
        let next = alone.map(argmax)
        let decoded = try harness.run(
            texts.enumerated().map { index, tokens in
                makeStep(
                    id: UInt64(index), start: tokens.count, tokens: [next[index]], firstBlock: Int32(index * 4),
                    sample: true)
            })
        for (index, tokens) in texts.enumerated() {
            let single = try harness.run([
                makeStep(
                    id: UInt64(index), start: tokens.count, tokens: [next[index]], firstBlock: Int32(index * 4),
                    sample: true)
            ])
            #expect(single[0] == decoded[index])
        }
    }

    @Test(
        "a step that does not fit the cache, the context or the vocabulary is refused and computes nothing",
        arguments: [
            makeStep(id: 1, start: 0, tokens: [1, 2], firstBlock: 127, sample: true).with { $0.blockTable = [128] },
            makeStep(id: 1, start: 0, tokens: [1, 2], firstBlock: 0, sample: true).with { $0.blockTable = [-1] },
            makeStep(id: 1, start: 0, tokens: [1, 2], firstBlock: 0, sample: true).with { $0.blockTable = [] },
            makeStep(id: 1, start: 0, tokens: [49_152], firstBlock: 0, sample: true),
            makeStep(id: 1, start: -1, tokens: [1], firstBlock: 0, sample: true),
            makeStep(id: 1, start: 8_192, tokens: [1], firstBlock: 0, sample: true),
            makeStep(id: 1, start: 0, tokens: [], firstBlock: 0, sample: true),
            makeStep(id: 1, start: 0, tokens: [TokenID](repeating: 1, count: 257), firstBlock: 0, sample: true),
        ])
    func refusesImpossibleSteps(_ step: SequenceStep) throws {
        let harness = try StageHarness()
        #expect(throws: InferenceError.self) { try harness.run([step]) }
    }

    @Test("a layer range outside the model is refused")
    func refusesImpossibleRanges() throws {
        let weights = try ModelWeights(file: StageHarness.openModel())
        for range in [0..<31, 30..<30, -1..<3] {
            #expect(throws: InferenceError.self) {
                try TransformerStage(
                    weights, layers: range, configuration: StageConfiguration(threads: 1, kvBlockCount: 4))
            }
        }
    }
}

extension SequenceStep {
    func with(_ change: (inout SequenceStep) -> Void) -> SequenceStep {
        var copy = self
        change(&copy)
        return copy
    }
}
