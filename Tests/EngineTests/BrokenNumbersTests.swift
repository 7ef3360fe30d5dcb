import Engine
import Foundation
import InferenceCore
import Testing
import Transformer

/// A token whose embedding is not a number, through every kind of layer and cache: who does not have it in the sequence
/// must not be able to tell.
@Suite(.timeLimit(.minutes(5))) struct BrokenNumbersTests {
    private static let broken: TokenID = 40

    private struct Outcome: Equatable {
        var tokens: [TokenID] = []
        var logprobBits: [UInt32] = []
        var failure: InferenceError.Code?
    }

    private static func engine(_ checkpoint: TinyCheckpoint, exact: Bool) throws -> InferenceEngine {
        let stage = try TransformerStage(
            ModelWeights(path: checkpoint.folder.path),
            configuration: StageConfiguration(threads: 2, kvBlockCount: 64, maxBatchedTokens: 48, exact: exact))
        return InferenceEngine(stage: stage, configuration: EngineConfiguration(maxBatchedTokens: 48))
    }

    private static func request(_ index: Int, isBroken: Bool) -> EngineRequest {
        var prompt = (0..<20 + index * 3).map { TokenID(2 + ($0 * 7 + index / 4 * 5) % 36) }
        if isBroken { prompt.insert(broken, at: prompt.count * (index % 5) / 4) }
        return EngineRequest(
            tenant: "a", promptTokenIDs: prompt,
            sampling: SamplingParameters(
                maxTokens: 8, temperature: index % 2 == 0 ? 0 : 0.9, repetitionPenalty: 1.1, seed: 5, ignoreEOS: true,
                forbiddenTokenIDs: [broken], logprobs: 4, promptLogprobs: index % 3 == 0 ? 2 : nil))
    }

    private static func collect(_ generation: EngineGeneration) async -> Outcome {
        var outcome = Outcome()
        func note(_ logprob: TokenLogprob) {
            outcome.logprobBits += ([logprob.logprob] + logprob.top.map(\.logprob)).map(\.bitPattern)
        }
        for await event in generation.events {
            switch event {
            case .started(let logprobs, _): logprobs?.forEach(note)
            case .token(let token, let logprob):
                outcome.tokens.append(token)
                if let logprob { note(logprob) }
            case .failed(let error): outcome.failure = error.code
            case .finished: break
            }
        }
        return outcome
    }

    @Test(
        "requests with the token fail, the others have the same bits as alone", arguments: TinyCheckpoint.families,
        [false, true])
    func contained(family: String, exact: Bool) async throws {
        let checkpoint = try TinyCheckpoint(family, brokenToken: Int(Self.broken))
        defer { checkpoint.remove() }
        var alone: [Outcome] = []
        for index in 0..<8 {
            let engine = try Self.engine(checkpoint, exact: exact)
            alone.append(await Self.collect(try engine.submit(Self.request(index, isBroken: false))))
            await engine.shutdown(deadline: .now + .seconds(5))
        }
        #expect(alone.allSatisfy { $0.tokens.count == 8 && $0.failure == nil })
        #expect(alone.allSatisfy { $0.logprobBits.allSatisfy { Float(bitPattern: $0).isFinite } })

        let engine = try Self.engine(checkpoint, exact: exact)
        for _ in 0..<2 {
            var sound: [EngineGeneration] = []
            var poisoned: [EngineGeneration] = []
            for index in 0..<8 {
                poisoned.append(try engine.submit(Self.request(index, isBroken: true)))
                sound.append(try engine.submit(Self.request(index, isBroken: false)))
            }
            for (index, generation) in sound.enumerated() {
                #expect(await Self.collect(generation) == alone[index], "request \(index)")
            }
            for generation in poisoned {
                let outcome = await Self.collect(generation)
                #expect(outcome.failure == .notFinite && outcome.tokens.isEmpty)
            }
        }
        #expect(!engine.status.isBroken && engine.status.notFiniteSequences == 16)
        await engine.shutdown(deadline: .now + .seconds(5))
    }
}
