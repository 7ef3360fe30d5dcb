import Foundation
import InferenceCore
import ModelFiles
import Testing
import Transformer

/// Runs steps over one or more stages in this process, as the engine would over the wire.
final class StageHarness {
    static let modelName = "smollm2-135m-instruct"
    let stages: [TransformerStage]
    private var stepID: UInt64 = 0

    /// Opens the demo model and cuts it into `stages` stages.
    convenience init(stages: Int = 1, threads: Int = 2, blocks: Int = 128, maxBatchedTokens: Int = 256) throws {
        try self.init(
            ModelWeights(file: Self.openModel()), stages: stages, threads: threads, blocks: blocks,
            maxBatchedTokens: maxBatchedTokens)
    }

    /// Cuts any model into `stages` stages.
    init(
        _ weights: ModelWeights, stages count: Int = 1, threads: Int = 2, blocks: Int = 64, maxBatchedTokens: Int = 256,
        exact: Bool = false
    ) throws {
        stages = try ModelConfiguration.partition(weights, stages: count).map {
            try TransformerStage(
                weights, layers: $0,
                configuration: StageConfiguration(
                    threads: threads, kvBlockCount: blocks, maxBatchedTokens: maxBatchedTokens, exact: exact))
        }
    }

    static func openModel() throws -> GGUFFile {
        let environment = ProcessInfo.processInfo.environment
        let directory = environment["FATHOM_MODELS"] ?? NSHomeDirectory() + "/.fathom/models"
        let path = "\(directory)/\(modelName)/model.gguf"
        try #require(FileManager.default.fileExists(atPath: path), "\(modelName) is not installed: run `make models`")
        return try GGUFFile(path: path)
    }

    /// Runs one step and returns the logits after each token of each sequence whose `sample` is set, or after every
    /// token when `everyToken`.
    func run(_ sequences: [SequenceStep], everyToken: Bool = false) throws -> [[Float]] {
        stepID += 1
        let batch = StepBatch(stepID: stepID, sequences: sequences)
        var hidden = [Float](repeating: 0, count: batch.tokenCount * stages[0].modelWidth)
        var rows: [Int] = []
        var next = 0
        for sequence in sequences {
            let end = next + sequence.tokenIDs.count
            rows += everyToken ? Array(next..<end) : sequence.sample ? [end - 1] : []
            next = end
        }
        var result: [[Float]] = []
        let last = stages[stages.count - 1]
        try hidden.withUnsafeMutableBufferPointer { hidden in
            for stage in stages { try stage.forward(batch, hidden: hidden) }
            try last.withLogits(rows: rows, hidden: UnsafeBufferPointer(hidden)) { _, logits in
                result.append(Array(logits))
            }
        }
        return result
    }

    /// Greedy continuation of `prompt`, prefilled in chunks of `chunk` tokens, in KV blocks from `firstBlock` on.
    func greedy(_ prompt: [TokenID], count: Int, chunk: Int = 256, firstBlock: Int32 = 0) throws -> [TokenID] {
        var generated: [TokenID] = []
        var position = 0
        var pending = prompt
        while generated.count < count {
            let tokens = Array(pending.prefix(chunk))
            pending.removeFirst(tokens.count)
            let logits = try run([
                makeStep(id: 1, start: position, tokens: tokens, firstBlock: firstBlock, sample: pending.isEmpty)
            ])
            position += tokens.count
            guard pending.isEmpty, let row = logits.first else { continue }
            generated.append(argmax(row))
            pending = [generated[generated.count - 1]]
        }
        return generated
    }
}

func makeStep(id: UInt64, start: Int, tokens: [TokenID], firstBlock: Int32, sample: Bool) -> SequenceStep {
    let blocks = Int32((start + tokens.count + 15) / 16)
    return SequenceStep(
        sequenceID: SequenceID(rawValue: id), startPosition: start, tokenIDs: tokens,
        blockTable: Array(firstBlock..<firstBlock + blocks), sample: sample, sampling: nil, promptLogprobs: false,
        nextTokenID: nil, generatedCount: 0)
}

func argmax(_ row: [Float]) -> TokenID {
    var best = 0
    for index in row.indices where row[index] > row[best] { best = index }
    return TokenID(best)
}

/// Reference figures computed in fp32 by independent code: Tests/Fixtures/oracle.
struct OracleText: Decodable {
    let id: String
    let tokens: [TokenID]
    /// For each position the likeliest next tokens as [id, natural-log probability].
    let top: [[[Double]]]

    static func all() throws -> [OracleText] {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/oracle/smollm2-fp32.json")
        return try JSONDecoder().decode([OracleText].self, from: Data(contentsOf: url))
    }
}
