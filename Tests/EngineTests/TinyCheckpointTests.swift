import Engine
import Foundation
import InferenceCore
import Testing
import Transformer

/// Every architecture against what Hugging Face transformers computes, on checkpoints that are made here: unlike
/// `ModelCheckTests` this needs nothing from outside of the repository.
@Suite struct TinyCheckpointTests {
    @Test(
        "every family is within 1e-4 in f32, and within its tolerance on the fast path",
        arguments: TinyCheckpoint.families)
    func agrees(family: String) throws {
        let checkpoint = try TinyCheckpoint(family)
        defer { checkpoint.remove() }
        let path = checkpoint.folder.appendingPathComponent("expected.json").path
        for exact in [true, false] {
            let report = try ModelCheck(threads: 2, exact: exact).run(
                modelPath: ModelCheck.modelPath(forExpectation: path), expectation: CheckExpectation(path: path))
            #expect(report.isWithinTolerance, "\(family), exact \(exact): \(report)")
            #expect(report.greedyCount == 16)
        }
    }

    @Test("a wrong value of config.json shows")
    func tellsDifferences() throws {
        let checkpoint = try TinyCheckpoint("qwen3")
        defer { checkpoint.remove() }
        let configuration = checkpoint.folder.appendingPathComponent("config.json")
        let text = try String(contentsOf: configuration, encoding: .utf8)
        let changed = text.replacingOccurrences(of: "\"rope_theta\": 10000", with: "\"rope_theta\": 20000")
        #expect(changed != text)
        try Data(changed.utf8).write(to: configuration)
        let path = checkpoint.folder.appendingPathComponent("expected.json").path
        let report = try ModelCheck(threads: 1, exact: true).run(
            modelPath: ModelCheck.modelPath(forExpectation: path), expectation: CheckExpectation(path: path))
        #expect(!report.isWithinTolerance)
    }

    @Test(
        "final_logit_softcapping is cap * tanh(logits / cap), to what f32 can tell", arguments: ["gemma3", "llama"],
        [false, true])
    func logitCap(family: String, exact: Bool) throws {
        func logits(_ checkpoint: TinyCheckpoint) throws -> [Float] {
            defer { checkpoint.remove() }
            let stage = try TransformerStage(
                ModelWeights(path: checkpoint.folder.path),
                configuration: StageConfiguration(threads: 2, kvBlockCount: 4, maxBatchedTokens: 16, exact: exact))
            let tokens: [TokenID] = [3, 14, 15, 9, 26]
            let step = SequenceStep(
                sequenceID: SequenceID(rawValue: 1), startPosition: 0, tokenIDs: tokens, blockTable: [0], sample: true)
            var hidden = [Float](repeating: 0, count: tokens.count * stage.modelWidth)
            var result: [Float] = []
            try hidden.withUnsafeMutableBufferPointer { hidden in
                try stage.forward(StepBatch(stepID: 1, sequences: [step]), hidden: hidden)
                try stage.withLogits(rows: Array(tokens.indices), hidden: UnsafeBufferPointer(hidden)) { _, logits in
                    result += logits
                }
            }
            return result
        }
        let plain = try logits(TinyCheckpoint(family))
        for cap in [0.5, 2.5, 30] {
            let capped = try logits(TinyCheckpoint(family, changes: ["final_logit_softcapping": cap]))
            #expect(capped.count == plain.count && capped != plain)
            for (found, raw) in zip(capped, plain) {
                #expect(abs(Double(found) - cap * tanh(Double(raw) / cap)) < cap * 1e-6)
            }
        }
    }
}
