import Engine
import InferenceCore
import ShardServer
import Synchronization
import Testing
import Wire
import WireProtocols

/// A replica group of two stages with two models of one byte each, "a" and "b", of the same digest.
private struct TwoModels {
    static let ranges = [0..<3, 3..<6]
    static let names = ["a", "b"]

    let client: WireClient
    let head: ModelPool<HeadModel>
    let stage: ModelPool<StageModel>

    /// - Parameters:
    ///   - headBudget: models that the head may have loaded.
    ///   - stageBudget: the same of the stage behind.
    static func run(
        headBudget: Int?, stageBudget: Int?, broken: Int? = nil, throwing: Int? = nil,
        failure: @escaping @Sendable (Int) -> InferenceError? = { _ in nil },
        _ body: @Sendable (TwoModels) async throws -> Void
    ) async throws {
        let catalog = makeCatalog()
        let stage = ModelPool(names: names, residency: residency(stageBudget), idleLimit: .seconds(60)) { index in
            if let failure = failure(index) { throw failure }
            let stage = FakeStage(layers: ranges[1])
            if index == throwing { stage.failure = InferenceError(code: .internalError, message: "by the test") }
            return StageModel(
                service: StageService(
                    stage: stage, plan: plan(stage, index, 1), next: nil, group: group(1), logger: TestGroup.quiet))
        }
        try await stage.preload(0)
        let host = StageHost(
            stageIndex: 1, catalog: catalog, pool: stage, roomPatience: .milliseconds(300))
        var stageRouter = RPCRouter()
        host.register(in: &stageRouter)
        let stageServer = WireServer(router: stageRouter, logger: TestGroup.quiet)

        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await stage.run() }
            tasks.addTask { try await stageServer.run() }
            let address = try await stageServer.boundAddress()
            let target = WireTarget.address(host: address.host, port: address.port)
            let head = ModelPool(names: names, residency: residency(headBudget)) { index in
                makeHead(index, next: target, brokenTokens: index == broken ? Set(0..<300) : [])
            }
            try await head.preload(0)
            var router = RPCRouter()
            GenerationService(catalog: catalog, pool: head).register(in: &router)
            let server = WireServer(router: router, logger: TestGroup.quiet)
            tasks.addTask { try await head.run() }
            tasks.addTask { try await server.run() }
            defer { tasks.cancelAll() }
            let own = try await server.boundAddress()
            let client = WireClient(target: .address(host: own.host, port: own.port), logger: TestGroup.quiet)
            let group = TwoModels(client: client, head: head, stage: stage)
            try await group.eventually { try await group.describe().serving }
            try await body(group)
            await client.close()
        }
    }

    private static func makeHead(_ index: Int, next: WireTarget, brokenTokens: Set<TokenID>) -> HeadModel {
        let stage = FakeStage(layers: ranges[0], brokenTokens: brokenTokens)
        let group = group(0)
        let link = WirePipelineLink(
            client: WireClient(target: next, logger: TestGroup.quiet),
            plan: plan(stage, index, 0).next(layerEnd: ranges[0].upperBound), group: group, logger: TestGroup.quiet)
        let engine = InferenceEngine(
            stage: stage, link: link,
            configuration: EngineConfiguration(
                stageCount: 2, endOfGenerationTokenIDs: [ByteTokenizer.end], heartbeatInterval: .milliseconds(20)))
        let served = ServedModel(
            name: names[index], digest: "digest", architecture: "fake", tokenizer: ByteTokenizer(), chatTemplate: nil)
        return HeadModel(served: served, engine: engine, group: group, link: link)
    }

    private static func makeCatalog() -> ModelCatalog {
        let catalog = ModelCatalog(names: names) { index in
            ModelCard(
                name: names[index], path: "", digest: "digest", architecture: "fake", maxContextTokens: 128,
                vocabularySize: 300, layers: ranges[0], kvBlockCount: 64, byteCount: 1, created: 1)
        }
        for index in names.indices { _ = try? catalog.load(index) }
        return catalog
    }

    private static func residency(_ budget: Int?) -> ModelResidency {
        ModelResidency(byteCounts: [1, 1], budget: budget, maxWaiterCount: 16)
    }

    private static func plan(_ stage: FakeStage, _ model: Int, _ index: Int) -> StagePlan {
        StagePlan(stage: stage, modelDigest: "digest", modelName: names[model], stageIndex: index, stageCount: 2)
    }

    private static func group(_ index: Int) -> ReplicaGroup {
        ReplicaGroup(stageIndex: index, layers: ranges[index], weightByteCount: 1, address: { "stage \(index)" })
    }

    func generate(_ model: String, _ index: Int = 1, maxTokens: UInt32 = 8) async -> TestGroup.Outcome {
        var request = TestGroup.request(index, maxTokens: maxTokens)
        request.model = model
        request.sampling.ignoreEos = true
        return await TestGroup.outcome(of: request, client).comparable
    }

    func describe(_ model: String = "") async throws -> Fathom_Shard_V1_DescribeResponse {
        var request = Fathom_Shard_V1_DescribeRequest()
        request.model = model
        return try await client.unary(InferenceService.describe, request)
    }

    func eventually(_ condition: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while try await !condition() {
            try #require(ContinuousClock.now < deadline)
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct SeveralModelsTests {
    @Test("both models are linked at once through both stages, although they have one digest")
    func together() async throws {
        try await TwoModels.run(headBudget: nil, stageBudget: nil) { group in
            let alone = await group.generate("a")
            #expect(alone.code == nil && alone.started?.model == "a")
            async let a = group.generate("a")
            async let b = group.generate("b")
            let (first, second) = await (a, b)
            #expect(first == alone)
            #expect(second.tokens == alone.tokens && second.started?.model == "b")
            let joined = group.stage.loadedModels.map { $0.model.service.isJoined }
            #expect(!joined.contains(false))

            let all = try await group.describe()
            #expect(all.models.map(\.name) == ["a", "b"] && all.models.map(\.state) == [.ready, .ready])
            #expect(all.model == "a" && all.serving && all.stages.count == 2)
            #expect(try await group.describe("b").model == "b")
            await #expect(throws: RPCError.self) { try await group.describe("c") }
            #expect(await group.generate("c").code == .notFound)
        }
    }

    @Test("with room for one on each stage they take turns, and the later stage gives up what the head gave up")
    func turns() async throws {
        try await TwoModels.run(headBudget: 1, stageBudget: 1) { group in
            let alone = await group.generate("a").tokens
            for index in 0..<6 {
                let outcome = await group.generate(["b", "a"][index % 2])
                #expect(outcome.code == nil && outcome.tokens == alone, "\(outcome.message ?? "")")
            }
            await withTaskGroup(of: Void.self) { tasks in
                for index in 0..<16 {
                    tasks.addTask {
                        let outcome = await group.generate(["a", "b"][index % 2], index)
                        #expect(outcome.code == nil, "\(outcome.message ?? "")")
                    }
                }
            }
            #expect(group.head.reservedByteCount == 1 && group.stage.reservedByteCount == 1)
            let description = try await group.describe()
            #expect(description.serving)
        }
    }

    @Test("a request waits while the model whose room it needs has one open")
    func waits() async throws {
        try await TwoModels.run(headBudget: 1, stageBudget: 1) { group in
            let order = try await withThrowingTaskGroup(of: String.self) { tasks in
                tasks.addTask {
                    let count = await group.generate("a", maxTokens: 100).tokens.count
                    return count == 100 ? "a" : "a with \(count) tokens"
                }
                try await group.eventually { group.head.snapshot(of: 0).userCount == 1 }
                tasks.addTask { await group.generate("b", maxTokens: 2).code == nil ? "b" : "b failed" }
                var order: [String] = []
                for try await name in tasks { order.append(name) }
                return order
            }
            #expect(order == ["a", "b"])
        }
    }

    @Test("a stage without room refuses the join, and the request hears of it while the other model goes on")
    func noRoomBehind() async throws {
        try await TwoModels.run(headBudget: 2, stageBudget: 1) { group in
            let refused = await group.generate("b")
            #expect(refused.code == .resourceExhausted)
            #expect(refused.message?.contains("stage 1 has no room for model b") == true, "\(refused.message ?? "")")
            #expect(await group.generate("a").code == nil)
            #expect(group.head.snapshot(of: 1).phase == .absent)
            let described = try await group.describe().models[1]
            #expect(described.state == .failed && described.problem.contains("no room"))
        }
    }

    @Test("a model that a later stage cannot read fails its requests only")
    func brokenBehind() async throws {
        let failure: @Sendable (Int) -> InferenceError? = { index in
            index == 1
                ? InferenceError(code: .dataLoss, message: "model b cannot be loaded: its file is unusable") : nil
        }
        try await TwoModels.run(headBudget: nil, stageBudget: nil, failure: failure) { group in
            let broken = await group.generate("b")
            #expect(broken.code == .dataLoss && broken.message?.contains("unusable") == true)
            #expect(await group.generate("a").code == nil)
        }
    }

    @Test(
        "a model that computes no numbers fails its requests with the reason, and the other model serves",
        arguments: [0, 1])
    func brokenNumbers(broken: Int) async throws {
        try await TwoModels.run(headBudget: nil, stageBudget: nil, broken: broken) { group in
            let names = TwoModels.names
            let refused = await group.generate(names[broken])
            #expect(refused.code == .dataLoss && refused.message?.contains("no finite number") == true)
            let sound = names[1 - broken]
            #expect(await group.generate(sound).code == nil)
            let described = try await group.describe()
            #expect(described.serving && described.stages.allSatisfy(\.linked))
            #expect(described.models[broken].state == .failed && described.models[1 - broken].state == .ready)
            #expect(described.models[broken].problem.contains("no finite number"))
            #expect(try await group.describe(sound).serving)
            #expect(try await !group.describe(names[broken]).serving)
            #expect(await group.generate(names[broken]).code == .dataLoss)
        }
    }

    @Test("a model whose steps a later stage cannot run is given up soon, and the other model serves")
    func throwingBehind() async throws {
        try await TwoModels.run(headBudget: nil, stageBudget: nil, throwing: 1) { group in
            let refused = await group.generate("b")
            #expect(refused.code == .dataLoss && refused.message?.contains("cannot run it") == true)
            #expect(await group.generate("a").code == nil)
            let described = try await group.describe()
            #expect(described.serving && described.models.map(\.state) == [.ready, .failed])
        }
    }
}
