import Engine
import Foundation
import InferenceCore
import ModelFiles
import Testing
import Transformer

/// The promise: the same prompt, parameters and seed give the same tokens and the same bits of their log-probabilities,
/// whatever else the engine does. `FATHOM_DETERMINISM_RUNS=1000` runs it at length.
@Suite(.serialized, .timeLimit(.minutes(30))) struct DeterminismTests {
    /// How an engine may differ without anybody being able to tell from its tokens.
    struct Variant {
        var threads: Int
        var maxBatchedTokens: Int
        var stages = 1
        var reusesPrefixes = true
        var maxDraftTokens = 8
        var prefillShare: Double? = 1.25
    }

    struct Outcome: Hashable {
        var tokens: [TokenID] = []
        var logprobBits: [UInt32] = []
    }

    static let variants = [
        Variant(threads: 1, maxBatchedTokens: 512, reusesPrefixes: false, maxDraftTokens: 0, prefillShare: nil),
        Variant(threads: 2, maxBatchedTokens: 7),
        Variant(threads: 3, maxBatchedTokens: 64, maxDraftTokens: 0),
        Variant(threads: 2, maxBatchedTokens: 33, stages: 2, maxDraftTokens: 3, prefillShare: 0.5),
        Variant(threads: 1, maxBatchedTokens: 256, stages: 3, reusesPrefixes: false),
    ]

    static var runs: Int { ProcessInfo.processInfo.environment["FATHOM_DETERMINISM_RUNS"].flatMap(Int.init) ?? 60 }

    /// A prompt longer than a partition of attention, with repetitions to guess from.
    private static let prompt: [TokenID] = (0..<150).map { index in
        let mixed: Int = index * index * 7 + index % 5
        return TokenID(500 + mixed % 61)
    }

    /// Seeded and drawn, with penalties (which need the prompt even when its KV is cached) and log-probabilities.
    private static let sampling = SamplingParameters(
        maxTokens: 24, temperature: 0.7, topK: 40, topP: 0.95, frequencyPenalty: 0.3, repetitionPenalty: 1.1,
        seed: 20_26, ignoreEOS: true, logprobs: 3)

    private func outcome(_ engine: InferenceEngine) async throws -> Outcome {
        var outcome = Outcome()
        let request = EngineRequest(tenant: "a", promptTokenIDs: Self.prompt, sampling: Self.sampling)
        for await event in try engine.submit(request).events {
            switch event {
            case .token(let token, let logprob):
                outcome.tokens.append(token)
                let logprobs = [logprob?.logprob ?? .nan] + (logprob?.top.map(\.logprob) ?? [])
                outcome.logprobBits += logprobs.map(\.bitPattern)
            case .failed(let error): throw error
            default: break
            }
        }
        return outcome
    }

    /// Other requests, some with the beginning of the same prompt, that come and go.
    private func addCompany(
        _ engine: InferenceEngine, random: inout some RandomNumberGenerator
    ) throws -> [EngineGeneration] {
        try (0..<Int.random(in: 0...6, using: &random)).map { _ in
            let shared = Self.prompt.prefix(Int.random(in: 0...150, using: &random))
            let own = (0..<Int.random(in: 1...90, using: &random)).map { _ in
                TokenID.random(in: 100..<40_000, using: &random)
            }
            let sampling = SamplingParameters(
                maxTokens: Int.random(in: 1...20, using: &random), temperature: 0, ignoreEOS: true)
            let tenant = Bool.random(using: &random) ? "a" : "b"
            return try engine.submit(EngineRequest(tenant: tenant, promptTokenIDs: shared + own, sampling: sampling))
        }
    }

    @Test("any batch, chunking, thread count, stage count, cache state and speculation: one outcome")
    func oneOutcome() async throws {
        var random = SeededRandomNumbers(seed: 7)
        var outcomes: [Outcome: Int] = [:]
        var hits = 0
        var accepted = 0
        for (index, variant) in Self.variants.enumerated() {
            let engine = try RealModelTests.engine(variant)
            for run in 0..<(Self.runs + Self.variants.count - 1 - index) / Self.variants.count {
                let company = try addCompany(engine, random: &random)
                // Cancelled company leaves blocks and holes behind.
                if run % 3 == 1, let one = company.first { engine.cancel(one.id) }
                outcomes[try await outcome(engine), default: 0] += 1
                for generation in company { for await _ in generation.events {} }
            }
            hits += engine.status.prefixHitTokens
            accepted += engine.status.acceptedTokens
            await engine.shutdown(deadline: .now + .seconds(5))
        }
        #expect(outcomes.count == 1, "\(outcomes.values.sorted()) runs of each of \(outcomes.count) outcomes")
        #expect(outcomes.values.reduce(0, +) == Self.runs)
        #expect(hits > 0 && accepted > 0, "\(hits) cached tokens, \(accepted) right guesses: nothing was varied")
    }

    @Test("greedy tokens with and without guessing are the same, and quotes are guessed")
    func speculation() async throws {
        // The model is led to repeat a list: most guesses come true.
        let list: [TokenID] = (0..<20).map { 1_000 + $0 * 37 }
        let repeated = list + list + list + list
        var results: [[TokenID]] = []
        var status = EngineStatus()
        for drafts in [0, 8] {
            let engine = try RealModelTests.engine(Variant(threads: 2, maxBatchedTokens: 64, maxDraftTokens: drafts))
            let sampling = SamplingParameters(maxTokens: 60, temperature: 0, ignoreEOS: true)
            var tokens: [TokenID] = []
            let generation = try engine.submit(EngineRequest(promptTokenIDs: repeated, sampling: sampling))
            for await event in generation.events { if case .token(let token, _) = event { tokens.append(token) } }
            results.append(tokens)
            await engine.shutdown(deadline: .now + .seconds(5))
            status = engine.status
        }
        #expect(results[0].count == 60 && results[0] == results[1])
        #expect(status.acceptedTokens > 20, "\(status.acceptedTokens) of \(status.draftedTokens) guesses came true")
    }
}

/// SplitMix64.
struct SeededRandomNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return CounterRandom.bits(seed: state, position: 0)
    }
}
