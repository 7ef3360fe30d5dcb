import Engine
import Foundation
import InferenceCore
import ModelFiles
import Testing
import Transformer

/// The demo model in the engine: log-probabilities of prompts against the oracle, and the same tokens in any company.
@Suite(.serialized, .timeLimit(.minutes(10))) struct RealModelTests {
    private static func openModel() throws -> GGUFFile {
        let home = FileManager.default.homeDirectoryForCurrentUser.path
        let directory = ProcessInfo.processInfo.environment["FATHOM_MODELS"] ?? home + "/.fathom/models"
        let path = directory + "/smollm2-135m-instruct/model.gguf"
        try #require(FileManager.default.fileExists(atPath: path), "\(path) is missing: run `make models`")
        return try GGUFFile(path: path)
    }

    /// An engine over the demo model in this many stages, running.
    private static func engine(stages: Int) throws -> InferenceEngine {
        try engine(DeterminismTests.Variant(threads: 1, maxBatchedTokens: 64, stages: stages))
    }

    static func engine(_ variant: DeterminismTests.Variant) throws -> InferenceEngine {
        let file = try openModel()
        let count = variant.stages
        let configuration = StageConfiguration(
            threads: variant.threads, kvBlockCount: 96, maxBatchedTokens: variant.maxBatchedTokens)
        let ranges = try ModelConfiguration.partition(ModelWeights(file: file), stages: count)
        var engineConfiguration = EngineConfiguration(
            maxRunningSequences: 17, stageCount: count, endOfGenerationTokenIDs: [0, 2], stepTimeout: .seconds(60),
            reusesPrefixes: variant.reusesPrefixes, maxDraftTokens: variant.maxDraftTokens,
            prefillShare: variant.prefillShare)
        engineConfiguration.heartbeatInterval = .milliseconds(50)
        let first = try TransformerStage(ModelWeights(file: file), layers: ranges[0], configuration: configuration)
        guard count > 1 else { return InferenceEngine(stage: first, configuration: engineConfiguration) }
        let link = LocalLink(
            workers: try ranges.dropFirst().map {
                StageWorker(
                    stage: try TransformerStage(ModelWeights(file: file), layers: $0, configuration: configuration))
            })
        let engine = InferenceEngine(stage: first, link: link, configuration: engineConfiguration)
        link.up()
        return engine
    }

    private struct Oracle: Decodable {
        var id: String
        var tokens: [TokenID]
        /// After each token the likeliest next ones: [token id, log-probability].
        var top: [[[Double]]]
    }

    private static func oracle() throws -> [Oracle] {
        let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/oracle/smollm2-fp32.json")
        return try JSONDecoder().decode([Oracle].self, from: Data(contentsOf: fixtures))
    }

    private func generate(_ engine: InferenceEngine, _ prompt: [TokenID], index: Int) async throws -> [TokenID] {
        let sampling = SamplingParameters(
            maxTokens: 12, temperature: index % 4 == 3 ? 0.8 : 0, topP: 0.9, seed: UInt64(index), ignoreEOS: true)
        var tokens: [TokenID] = []
        for await event in try engine.submit(EngineRequest(promptTokenIDs: prompt, sampling: sampling)).events {
            switch event {
            case .token(let token, _): tokens.append(token)
            case .failed(let error): throw error
            default: break
            }
        }
        return tokens
    }

    @Test("the same tokens alone and with 16 others, on one, two and three stages")
    func company() async throws {
        let prompts = try Self.oracle().map(\.tokens) + [[1, 2, 3]]
        let single = try Self.engine(stages: 1)
        var alone: [[TokenID]] = []
        for (index, prompt) in prompts.enumerated() {
            alone.append(try await generate(single, prompt, index: index))
        }
        await single.shutdown(deadline: .now + .seconds(5))
        for stages in 1...3 {
            let engine = try Self.engine(stages: stages)
            let together = try await withThrowingTaskGroup(of: (Int, [TokenID]).self) { tasks in
                for (index, prompt) in prompts.enumerated() {
                    tasks.addTask { (index, try await generate(engine, prompt, index: index)) }
                }
                var all = Array(repeating: [TokenID](), count: prompts.count)
                for try await (index, tokens) in tasks { all[index] = tokens }
                return all
            }
            for index in prompts.indices {
                #expect(together[index] == alone[index], "prompt \(index) on \(stages) stages")
            }
            await engine.shutdown(deadline: .now + .seconds(5))
        }
    }

    @Test("prompt log-probabilities in chunks stay within llama.cpp's distance of the fp32 oracle")
    func promptLogprobs() async throws {
        let engine = try Self.engine(stages: 2)
        var divergence = 0.0
        var agreeing = 0
        var positions = 0
        for oracle in try Self.oracle() {
            let sampling = SamplingParameters(maxTokens: 0, temperature: 0, promptLogprobs: 20)
            let generation = try engine.submit(EngineRequest(promptTokenIDs: oracle.tokens, sampling: sampling))
            var found: [TokenLogprob] = []
            for await event in generation.events {
                if case .started(let logprobs?, _) = event { found = logprobs }
            }
            #expect(found.map(\.tokenID) == Array(oracle.tokens.dropFirst()))
            for (ours, theirs) in zip(found, oracle.top) {
                positions += 1
                if theirs.first.map({ TokenID($0[0]) }) == ours.top.first?.tokenID { agreeing += 1 }
                let logprobs = Dictionary(uniqueKeysWithValues: ours.top.map { ($0.tokenID, Double($0.logprob)) })
                for entry in theirs {
                    if let logprob = logprobs[TokenID(entry[0])] { divergence += exp(entry[1]) * (entry[1] - logprob) }
                }
            }
        }
        await engine.shutdown(deadline: .now + .seconds(5))
        let mean = divergence / Double(positions)
        let share = Double(agreeing) / Double(positions)
        #expect(mean <= 0.0025, "mean KL \(mean)")
        #expect(share >= 0.975, "equal top tokens \(share)")
    }
}
