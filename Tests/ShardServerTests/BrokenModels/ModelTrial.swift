import ChatTemplate
import Foundation
import InferenceCore
import Kernels
import ModelFiles
import ModelTools
import ServiceSupport
import ShardServer
import Tensors
import Testing
import Tokenization
import Transformer

/// Does with a model all that a shard and the tools do: describe, load, compute, tokenise, render, quantise.
struct ModelTrial {
    /// How far mutants came.
    struct Counts {
        var opened = 0
        var computed = 0
        var tokenized = 0
        var summarized = 0
        var quantized = 0
    }

    private(set) var counts = Counts()
    /// As a shard is configured that says nothing.
    private let usual: ModelLoader
    /// With a cache of a few blocks, on one thread and on two.
    private let small: [ModelLoader]
    private let output = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).gguf").path

    init() throws {
        usual = try Self.loader([:])
        small = try ["1", "2"].map {
            try Self.loader(["threads": $0, "kv-blocks": "8", "max-batched-tokens": "16"])
        }
    }

    private static func loader(_ settings: [String: String]) throws -> ModelLoader {
        var flags: ServiceFlags = [:]
        for key in ShardConfiguration.keys { flags.set(key, settings[key]) }
        flags.set("model", ["/m/x.gguf"])
        let configuration = try ServiceConfiguration(
            service: "shard", options: .parsing([]), flags: flags, environment: [:])
        return ModelLoader(try ShardConfiguration(configuration))
    }

    /// - Parameters:
    ///   - target: the type to write the model in as well.
    ///   - isParallel: whether steps have two threads.
    mutating func run(path: String, target: QuantizationTarget?, isParallel: Bool, _ comment: String) {
        attempt(comment) { try load(path, small[isParallel ? 1 : 0]) }
        attempt(comment) { try summarize(path) }
        guard let target else { return }
        attempt(comment) { try quantize(path, target) }
        try? FileManager.default.removeItem(atPath: output)
    }

    /// Runs `body`; only errors that say what is wrong with the model may come out.
    private func attempt(_ comment: String, _ body: () throws -> Void) {
        do {
            try body()
        } catch {
            switch error {
            case let error as InferenceError where error.code == .internalError:
                Issue.record(error, "\(comment): an internal error")
            case is InferenceError, is ModelFileError, is KernelError, is TokenizationError, is ChatTemplateError,
                is ModelToolsError, is ConfigurationError, is TensorError:
                let message = "\(error)"
                // Names of the file are in it, its contents and commands to a terminal are not.
                #expect(!message.unicodeScalars.contains { $0.properties.generalCategory == .control }, "\(comment)")
                #expect(!message.isEmpty && message.utf8.count < 2_000, "\(comment): \(message.prefix(200))…")
            default: Issue.record(error, "\(comment): an error that names nothing")
            }
        }
    }

    private mutating func load(_ path: String, _ loader: ModelLoader) throws {
        let specification = ModelSpecification(name: "x", path: path)
        let card = try loader.card(of: specification)
        _ = try usual.card(of: specification)
        counts.opened += 1
        let (weights, stage) = try loader.stage(of: card)
        try compute(stage)
        counts.computed += 1
        let served = try ServedModel(name: "x", weights: weights, identity: ModelIdentity(weights.source))
        try tokenize(served)
        counts.tokenized += 1
    }

    /// A prefill and a decode step, then the choice of a token from whatever logits come out.
    private func compute(_ stage: TransformerStage) throws {
        let tokens = (0..<min(5, stage.maxContextTokens - 1)).map { TokenID($0 % stage.vocabularySize) }
        guard !tokens.isEmpty else { return }
        for (start, tokens) in [(0, tokens), (tokens.count, [TokenID(stage.vocabularySize - 1)])] {
            let batch = StepBatch(
                stepID: 1,
                sequences: [
                    SequenceStep(
                        sequenceID: SequenceID(rawValue: 1), startPosition: start, tokenIDs: tokens, blockTable: [0],
                        sample: true, sampling: nil, promptLogprobs: false, nextTokenID: nil, generatedCount: 0)
                ])
            var hidden = [Float](repeating: 0, count: tokens.count * stage.modelWidth)
            try hidden.withUnsafeMutableBufferPointer { hidden in
                try stage.forward(batch, hidden: hidden)
                try stage.withLogits(rows: [tokens.count - 1], hidden: UnsafeBufferPointer(hidden)) { _, logits in
                    choose(logits)
                }
            }
        }
    }

    /// Weights that are no numbers give no token, and an error of that sequence alone.
    private func choose(_ logits: UnsafeMutableBufferPointer<Float>) {
        for parameters in [
            SamplingParameters(maxTokens: 1, temperature: 0, logprobs: 2),
            SamplingParameters(maxTokens: 1, temperature: 0.8, topP: 0.9, seed: 1),
        ] {
            var sampler = Sampler(parameters: parameters)
            var scratch = SamplerScratch()
            let chosen = sampler.sample(logits, position: 3, scratch: &scratch)
            #expect(chosen.map { Int($0.tokenID) < logits.count } ?? true)
        }
    }

    private func tokenize(_ served: ServedModel) throws {
        let text = "Hello wörld, 12345 <|im_start|>日本\u{0}  a\n\n</s>"
        for special in [true, false] {
            let ids = try served.tokenizer.encode(text, parseSpecial: special, addSpecial: special)
            #expect(ids.allSatisfy { $0 < UInt32(served.tokenizer.vocabularySize) })
            _ = served.tokenizer.decode(ids, skipSpecial: !special)
        }
        var detokenizer = StreamingDetokenizer(tokenizer: served.tokenizer, skipSpecial: false)
        for token in [0, 1, UInt32(served.tokenizer.vocabularySize), .max] {
            _ = detokenizer.append(token)
            _ = served.bytes(of: token)
        }
        _ = try served.chatTemplate?.render(
            messages: [.object(["role": "user", "content": "Hello"])], addGenerationPrompt: true)
    }

    private mutating func summarize(_ path: String) throws {
        let summary = try ModelSummary(path: path)
        for stages in [1, 2, 1_024] {
            _ = MemoryPlan(summary, stages: stages, contextTokens: 100_000_000).largestStageByteCount
        }
        _ = MemoryPlan.fewestStages(summary, memory: 1 << 20, contextTokens: 8_192)
        _ = MemoryPlan.longestContext(summary, memory: 1 << 34)
        counts.summarized += 1
    }

    private mutating func quantize(_ path: String, _ target: QuantizationTarget) throws {
        _ = try ModelQuantizer(ModelPlan.read(path: path, preTokenizer: "qwen2"), target: target).write(to: output)
        _ = try GGUFFile(path: output)
        counts.quantized += 1
    }
}
