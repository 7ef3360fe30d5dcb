import Engine
import Foundation
import InferenceCore
import Kernels
import Logging
import ModelFiles
import Tokenization
import Transformer
import Wire
import WireProtocols

/// Something that turns prompts of token ids into tokens; what `bench engine` times.
protocol GenerationBackend: Sendable {
    /// Token ids that prompts may hold.
    var vocabularySize: Int { get }

    /// Generates exactly `maxTokens` greedy tokens, never ending early.
    ///
    /// - Returns: When each token arrived.
    func generate(prompt: [TokenID], maxTokens: Int) async throws -> [ContinuousClock.Instant]
}

/// The engine in this process, all layers in one stage.
struct LocalBackend: GenerationBackend {
    let vocabularySize: Int
    private let engine: InferenceEngine

    /// Loads the model.
    init(
        modelPath: String, threads: Int, kvBlockCount: Int, maxSequences: Int, draftTokens: Int,
        kvType: KeyValueType
    ) throws {
        let stage = try TransformerStage(
            ModelWeights(path: modelPath),
            configuration: StageConfiguration(threads: threads, kvBlockCount: kvBlockCount, kvType: kvType))
        vocabularySize = stage.vocabularySize
        engine = InferenceEngine(
            stage: stage,
            configuration: EngineConfiguration(
                maxRunningSequences: max(64, maxSequences), maxDraftTokens: draftTokens,
                // All sequences are to decode together, as soon as may be.
                prefillShare: nil))
    }

    func generate(prompt: [TokenID], maxTokens: Int) async throws -> [ContinuousClock.Instant] {
        let sampling = SamplingParameters(maxTokens: maxTokens, temperature: 0, ignoreEOS: true)
        let generation = try engine.submit(EngineRequest(promptTokenIDs: prompt, sampling: sampling))
        var arrivals: [ContinuousClock.Instant] = []
        arrivals.reserveCapacity(maxTokens)
        for await event in generation.events {
            switch event {
            case .token: arrivals.append(.now)
            case .failed(let error): throw error
            case .started, .finished: break
            }
        }
        return arrivals
    }

    /// Ends the step thread.
    func shutdown() async {
        await engine.shutdown(deadline: .now + .seconds(5))
    }
}

/// Real shard processes, reached through their head.
struct WireBackend: GenerationBackend {
    let vocabularySize: Int
    private let client: WireClient

    /// Connects to a head and waits until its pipeline serves.
    ///
    /// - Throws: ``CommandError`` `timedOut`, `RPCError`.
    static func connect(host: String, port: Int, deadline: Duration) async throws -> WireBackend {
        let logger = Logger(label: "fathom", factory: { _ in SwiftLogNoOpLogHandler() })
        let client = WireClient(target: .address(host: host, port: port), logger: logger)
        let limit = ContinuousClock.now + deadline
        while ContinuousClock.now < limit {
            let answer = try? await client.unary(
                InferenceService.describe, .init(), options: CallOptions(timeout: .seconds(2)))
            if let answer, answer.serving {
                return WireBackend(vocabularySize: Int(answer.vocabularySize), client: client)
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        await client.close()
        throw CommandError(.timedOut, "the shards did not serve within \(deadline)")
    }

    func generate(prompt: [TokenID], maxTokens: Int) async throws -> [ContinuousClock.Instant] {
        var request = Fathom_Shard_V1_GenerateRequest()
        request.requestID = "bench"
        request.principal.tenant = DefaultKey.tenant
        request.prompt.tokens.ids = prompt
        request.sampling = SamplingParameters(maxTokens: maxTokens, temperature: 0, ignoreEOS: true).proto()
        var arrivals: [ContinuousClock.Instant] = []
        arrivals.reserveCapacity(maxTokens)
        let options = CallOptions(timeout: .seconds(600), metadata: [MetadataKey.tenant: DefaultKey.tenant])
        for try await event in try await client.serverStreaming(InferenceService.generate, request, options: options) {
            if case .delta(let delta) = event.message.kind {
                arrivals += Array(repeating: ContinuousClock.now, count: delta.tokenIds.count)
            }
        }
        return arrivals
    }

    func close() async { await client.close() }
}
