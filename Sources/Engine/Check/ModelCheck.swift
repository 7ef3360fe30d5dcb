import Foundation
import InferenceCore
import ModelFiles
import Transformer

/// Runs a model over the prompts of a ``CheckExpectation`` and says how far its log-probabilities are from it.
package struct ModelCheck: Sendable {
    /// Compute threads.
    package var threads: Int
    /// Whether to run the slow twin: weights, activations and KV cache in f32.
    package var exact: Bool
    /// Prompt tokens of a step.
    package var chunkTokens: Int
    /// Router margin below which a position is judged apart; nil: what the weights' type warrants.
    package var routerMargin: Double?

    package init(threads: Int, exact: Bool, chunkTokens: Int = 64, routerMargin: Double? = nil) {
        self.threads = threads
        self.exact = exact
        self.chunkTokens = chunkTokens
        self.routerMargin = routerMargin
    }

    /// The model that an expectation is about: the file of its stem, else the folder it is in.
    package static func modelPath(forExpectation path: String) -> String {
        let suffix = ".expected.json"
        if path.hasSuffix(suffix) { return path.dropLast(suffix.count) + ".gguf" }
        return (path as NSString).deletingLastPathComponent
    }

    /// - Throws: `ModelFileError`, `InferenceError`, `KernelError` when the model cannot be run.
    package func run(modelPath: String, expectation: CheckExpectation) throws -> CheckReport {
        let weights = try ModelWeights(path: modelPath)
        let longest = expectation.prompts.map { $0.tokens.count + $0.greedy.tokens.count }.max() ?? 0
        let blockSize = TransformerStage.kvBlockSize
        let stage = try TransformerStage(
            weights,
            configuration: StageConfiguration(
                threads: threads, kvBlockCount: longest / blockSize + 1, maxBatchedTokens: chunkTokens, exact: exact))
        var tolerance = CheckReport.Tolerance(weights, expectation: expectation, exact: exact)
        if let routerMargin { tolerance.routerMargin = routerMargin }
        var comparison = Comparison(routerMargin: tolerance.routerMargin)
        for prompt in expectation.prompts { try compare(prompt, stage, &comparison) }
        return CheckReport(
            architecture: weights.model.architecture, positions: CheckReport.Spread(comparison.differences),
            nearTies: CheckReport.Spread(comparison.nearTies), greedyAgreeing: comparison.agreeing,
            greedyCount: comparison.greedyCount, tolerance: tolerance)
    }

    /// Differences collected over prompts.
    private struct Comparison {
        let routerMargin: Double
        var differences: [Double] = []
        var nearTies: [Double] = []
        var agreeing = 0
        var greedyCount = 0
    }

    /// Feeds the prompt and the expected greedy tokens, and compares at every position.
    private func compare(
        _ prompt: CheckExpectation.Prompt, _ stage: TransformerStage, _ comparison: inout Comparison
    ) throws {
        let greedy = prompt.greedy.tokens
        let tokens = prompt.tokens + greedy.dropLast()
        try forEachLogits(tokens, stage) { position, logits in
            let isNearTie = prompt.routerMargin.map { $0[position] < comparison.routerMargin } ?? false
            let normalizer = Self.logSumExp(logits)
            func difference(_ token: TokenID, _ logprob: Double) -> Double {
                guard logits.indices.contains(Int(token)) else { return .infinity }
                let found = abs(Double(logits[Int(token)]) - normalizer - logprob)
                return found.isNaN ? .infinity : found
            }
            var largest = 0.0
            if position < prompt.top.count {
                largest = prompt.top[position].reduce(0) { max($0, difference($1.tokenID, $1.logprob)) }
            }
            let step = position - prompt.tokens.count + 1
            if greedy.indices.contains(step) {
                comparison.greedyCount += 1
                comparison.agreeing += Self.argmax(logits) == greedy[step] ? 1 : 0
                largest = max(largest, difference(greedy[step], prompt.greedy.logprobs[step]))
            }
            if isNearTie { comparison.nearTies.append(largest) } else { comparison.differences.append(largest) }
        }
    }

    /// Runs one sequence in chunks and hands over the logits after each token.
    private func forEachLogits(
        _ tokens: [TokenID], _ stage: TransformerStage,
        _ body: (_ position: Int, _ logits: UnsafeMutableBufferPointer<Float>) throws -> Void
    ) throws {
        var hidden = [Float](repeating: 0, count: chunkTokens * stage.modelWidth)
        for start in stride(from: 0, to: tokens.count, by: chunkTokens) {
            let chunk = Array(tokens[start..<min(start + chunkTokens, tokens.count)])
            let blocks = (start + chunk.count + stage.kvBlockSize - 1) / stage.kvBlockSize
            let step = SequenceStep(
                sequenceID: SequenceID(rawValue: 1), startPosition: start, tokenIDs: chunk,
                blockTable: Array(0..<Int32(blocks)), sample: false)
            try hidden.withUnsafeMutableBufferPointer { buffer in
                try stage.forward(StepBatch(stepID: UInt64(start), sequences: [step]), hidden: buffer)
                try stage.withLogits(rows: Array(chunk.indices), hidden: UnsafeBufferPointer(buffer)) {
                    try body(start + $0, $1)
                }
            }
        }
    }

    private static func logSumExp(_ logits: UnsafeMutableBufferPointer<Float>) -> Double {
        let largest = Double(logits.max() ?? 0)
        return largest + log(logits.reduce(0) { $0 + exp(Double($1) - largest) })
    }

    private static func argmax(_ logits: UnsafeMutableBufferPointer<Float>) -> TokenID {
        var best = 0
        for index in logits.indices where logits[index] > logits[best] { best = index }
        return TokenID(best)
    }
}
