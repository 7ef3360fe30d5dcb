import InferenceCore
import SwiftProtobuf
import Testing
import WireProtocols

struct ConversionTests {
    private static let full = SamplingParameters(
        maxTokens: 77, temperature: 0.7, topK: 40, topP: 0.9, minP: 0.05, presencePenalty: 0.5, frequencyPenalty: -0.5,
        repetitionPenalty: 1.1, logitBias: [3: 1.5, 9: -100], seed: .max, stopTokenIDs: [2, 1], ignoreEOS: true,
        forbiddenTokenIDs: [5], logprobs: 0, promptLogprobs: 20)

    /// Through the bytes, as it travels.
    private static func travelled<M: Message>(_ message: M) throws -> M {
        let bytes: [UInt8] = try message.serializedBytes()
        return try M(serializedBytes: bytes)
    }

    @Test("sampling parameters survive the journey", arguments: [full, SamplingParameters()])
    func sampling(parameters: SamplingParameters) throws {
        #expect(SamplingParameters(proto: try Self.travelled(parameters.proto())) == parameters)
    }

    @Test("absent seed and log-probabilities stay absent, and zero stays zero")
    func absence() {
        var parameters = SamplingParameters()
        #expect(!parameters.proto().hasSeed)
        #expect(parameters.proto().logprobs == -1)
        #expect(parameters.proto().promptLogprobs == -1)
        parameters.seed = 0
        parameters.logprobs = 0
        #expect(parameters.proto().hasSeed)
        #expect(SamplingParameters(proto: parameters.proto()).logprobs == 0)
        #expect(SamplingParameters(proto: parameters.proto()).seed == 0)
    }

    @Test("steps survive the journey")
    func steps() throws {
        let batch = StepBatch(
            stepID: 1 << 60,
            sequences: [
                SequenceStep(
                    sequenceID: SequenceID(rawValue: .max), startPosition: 100, tokenIDs: [0, .max],
                    blockTable: [0, 7, .max],
                    sample: true, sampling: Self.full, promptLogprobs: true, nextTokenID: 0, generatedCount: 3),
                SequenceStep(
                    sequenceID: SequenceID(rawValue: 0), startPosition: 0, tokenIDs: [1], blockTable: [], sample: false),
            ],
            released: [SequenceID(rawValue: 4), SequenceID(rawValue: 5)])
        #expect(try StepBatch(proto: Self.travelled(batch.proto())) == batch)
    }

    @Test("a step without tokens and a block beyond 31 bits are refused")
    func badSteps() {
        var step = Fathom_Shard_V1_SequenceStep()
        step.blockTable = [1 << 31]
        #expect(throws: InferenceError.self) { try SequenceStep(proto: step) }
        step.tokenIds = [1]
        #expect(throws: InferenceError.self) { try SequenceStep(proto: step) }
        step.blockTable = [1]
        #expect(throws: Never.self) { try SequenceStep(proto: step) }
    }

    @Test("results survive the journey")
    func results() throws {
        let results = [
            SequenceResult(
                sequenceID: SequenceID(rawValue: 9),
                sampled: [
                    SampledToken(
                        tokenID: 0,
                        logprob: TokenLogprob(tokenID: 0, logprob: -0.25, top: [TopLogprob(tokenID: 8, logprob: -1)])),
                    SampledToken(tokenID: 5, logprob: TokenLogprob(tokenID: 5, logprob: -1)),
                ],
                promptLogprobs: [TokenLogprob(tokenID: 1, logprob: -.infinity, top: [])]),
            SequenceResult(sequenceID: SequenceID(rawValue: 0)),
            SequenceResult(sequenceID: SequenceID(rawValue: 1), sampled: [SampledToken(tokenID: 3)]),
            SequenceResult(sequenceID: SequenceID(rawValue: 2), failure: .notFinite(position: 0)),
            SequenceResult(sequenceID: SequenceID(rawValue: 3), failure: .notFinite(position: 4_711)),
            SequenceResult(sequenceID: SequenceID(rawValue: 4), failure: .refused),
        ]
        for result in results {
            #expect(try SequenceResult(proto: try Self.travelled(result.proto())) == result)
        }
        var later = results[5].proto()
        later.failure = .UNRECOGNIZED(99)
        #expect(try SequenceResult(proto: later).failure == .refused, "of a later version")
        var uneven = results[0].proto()
        uneven.tokenIds.removeLast()
        #expect(throws: InferenceError.self) { try SequenceResult(proto: uneven) }
    }

    @Test("token bytes are filled in where they are known")
    func tokenBytes() {
        let logprob = TokenLogprob(tokenID: 3, logprob: -1, top: [TopLogprob(tokenID: 4, logprob: -2)])
        let proto = logprob.proto { [UInt8($0), 0xFF] }
        #expect(Array(proto.token) == [3, 0xFF])
        #expect(Array(proto.top[0].token) == [4, 0xFF])
        #expect(logprob.proto().token.isEmpty)
    }
}
