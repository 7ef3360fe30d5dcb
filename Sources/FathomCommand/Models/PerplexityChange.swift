import Engine
import Foundation
import InferenceCore
import ModelFiles
import Tokenization
import Transformer

/// Perplexity of a text under two files of one model.
struct PerplexityChange: Encodable {
    let tokenCount: Int
    let before: Double
    let after: Double

    /// - Parameters:
    ///   - source: a GGUF file or safetensors folder.
    ///   - result: a GGUF file, whose tokeniser is used for both.
    /// - Throws: when the engine cannot run the model or read the tokeniser; `invalidArgument` for a text that is too short.
    init(source: String, result: String, text: String) throws {
        let metadata = try GGUFFile(path: result).metadata
        let tokenizer = try TokenizerLoader.load(gguf: metadata)
        let tokens = try tokenizer.encode(text, parseSpecial: false, addSpecial: true).map { TokenID($0) }
        guard tokens.count > 8 else { throw CommandError(.invalidArgument, "the text has \(tokens.count) tokens only") }
        tokenCount = tokens.count
        before = try PerplexityMeter(path: source).perplexity(of: tokens)
        after = try PerplexityMeter(path: result).perplexity(of: tokens)
    }

    /// Plain prose, long enough for a first impression; a decision needs a text of one's own.
    static let builtInText = """
        The harbour was quiet before the sun came up. Two men repaired a net on the quay, and a third, who had been up all
        night, told them what he had heard about the price of fish in the city. Nobody answered at first. Then the older
        of the two said that prices were a matter for people with warehouses, and that a net with a hole in it catches
        the same amount of fish at any price. When the first boat came in, the whole village knew within minutes: a bell
        was rung, children ran down the steps, and the scales were carried out of the shed. The boat had been out for
        three days. It carried less than hoped for but more than feared, which is how most voyages end, and how most of
        them are soon forgotten. In the afternoon the wind turned to the north. The harbour master wrote the change into
        his book, as he had done every day for thirty-one years, with the hour, the strength, and the height of the water
        at the second stone. He did not expect that anyone would ever read it. But engineers who planned a new wall, many
        years later, found in those books what no instrument had recorded: that the highest water comes not with the
        strongest wind but with the longest, and that a wall built for the strongest would have been a hand's breadth too
        low. It is an argument for writing things down.
        """
}

/// Runs a model over a text.
private struct PerplexityMeter {
    private static let windowTokens = 512
    private static let chunkTokens = 64

    private let stage: TransformerStage

    init(path: String) throws {
        let window = Self.windowTokens
        stage = try TransformerStage(
            ModelWeights(path: path),
            configuration: StageConfiguration(
                threads: max(1, ProcessInfo.processInfo.activeProcessorCount),
                kvBlockCount: window / TransformerStage.kvBlockSize + 1, maxBatchedTokens: Self.chunkTokens))
    }

    /// `exp` of the mean negative log-probability of each token given those before it, in windows of 512 tokens; a
    /// window's first token is given, not guessed.
    func perplexity(of tokens: [TokenID]) throws -> Double {
        let window = min(Self.windowTokens, stage.maxContextTokens)
        var sum = 0.0
        var count = 0
        for start in stride(from: 0, to: tokens.count, by: window) {
            let part = Array(tokens[start..<min(start + window, tokens.count)])
            guard part.count > 1 else { continue }
            sum += try negativeLogProbability(of: part)
            count += part.count - 1
        }
        return exp(sum / Double(max(count, 1)))
    }

    private func negativeLogProbability(of tokens: [TokenID]) throws -> Double {
        var hidden = [Float](repeating: 0, count: Self.chunkTokens * stage.modelWidth)
        var sum = 0.0
        for start in stride(from: 0, to: tokens.count, by: Self.chunkTokens) {
            let chunk = Array(tokens[start..<min(start + Self.chunkTokens, tokens.count)])
            let blocks = (start + chunk.count + stage.kvBlockSize - 1) / stage.kvBlockSize
            let step = SequenceStep(
                sequenceID: SequenceID(rawValue: 1), startPosition: start, tokenIDs: chunk,
                blockTable: Array(0..<Int32(blocks)), sample: false)
            try hidden.withUnsafeMutableBufferPointer { buffer in
                try stage.forward(StepBatch(stepID: UInt64(start), sequences: [step]), hidden: buffer)
                try stage.withLogits(rows: Array(chunk.indices), hidden: UnsafeBufferPointer(buffer)) { index, logits in
                    let next = start + index + 1
                    guard next < tokens.count, logits.indices.contains(Int(tokens[next])) else { return }
                    let largest = Double(logits.max() ?? 0)
                    let total = logits.reduce(0) { $0 + exp(Double($1) - largest) }
                    sum += largest + log(total) - Double(logits[Int(tokens[next])])
                }
            }
        }
        return sum
    }
}
