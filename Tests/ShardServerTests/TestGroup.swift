import Engine
import InferenceCore
import Logging
import ShardServer
import Testing
import Tokenization
import Wire
import WireProtocols

/// What a group of stages serves: how its stages are made, and its tokeniser.
struct TestModel: Sendable {
    let makeStage: @Sendable (Range<Int>) throws -> sending any ModelStage
    let served: ServedModel

    /// The exact integer model with one token per byte.
    static let fake = TestModel(makeStage: { FakeStage(layers: $0) }, served: ByteTokenizer().model)

    /// Of this model alone.
    func catalog() -> ModelCatalog {
        let catalog = ModelCatalog(names: [served.name]) { _ in
            ModelCard(
                name: served.name, path: "", digest: served.digest, architecture: served.architecture,
                maxContextTokens: 128, vocabularySize: 300, layers: 0..<1, kvBlockCount: 64, byteCount: 1, created: 1)
        }
        _ = try? catalog.load(0)
        return catalog
    }

    var residency: ModelResidency { ModelResidency(byteCounts: [1], budget: nil, maxWaiterCount: 64) }
}

/// A replica group of stages in this process, joined by real sockets on loopback.
struct TestGroup {
    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    let engine: InferenceEngine
    let client: WireClient

    /// Starts the stages, last one first, and stops everything after `body`.
    static func run<Result: Sendable>(
        _ ranges: [Range<Int>], model: TestModel = .fake, joinTimeout: Duration = .seconds(5),
        _ body: @escaping @Sendable (TestGroup) async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            var next: WireTarget?
            for index in ranges.indices.dropFirst().reversed() {
                let stage = try await TestStage(ranges: ranges, index: index, next: next, model: model)
                tasks.addTask { try await stage.run() }
                next = try await stage.target()
            }
            defer { tasks.cancelAll() }
            return try await runHead(ranges, next: next, model: model, joinTimeout: joinTimeout, body)
        }
    }

    /// Starts the head alone; `next` is where stage 1 listens.
    static func runHead<Result: Sendable>(
        _ ranges: [Range<Int>], next: WireTarget?, model: TestModel = .fake, joinTimeout: Duration = .seconds(5),
        _ body: @escaping @Sendable (TestGroup) async throws -> Result
    ) async throws -> Result {
        let head = try makeHead(ranges, next: next, model: model, joinTimeout: joinTimeout)
        try await head.pool.preload(0)
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await head.pool.run() }
            tasks.addTask { try await head.server.run() }
            defer { tasks.cancelAll() }
            let address = try await head.server.boundAddress()
            let client = WireClient(target: .address(host: address.host, port: address.port), logger: quiet)
            let engine = try #require(head.pool.snapshot(of: 0).model).engine
            let result = try await body(TestGroup(engine: engine, client: client))
            await client.close()
            return result
        }
    }

    private static func makeHead(
        _ ranges: [Range<Int>], next: WireTarget?, model: TestModel, joinTimeout: Duration
    ) throws -> (pool: ModelPool<HeadModel>, server: WireServer) {
        let catalog = model.catalog()
        let pool = ModelPool(names: catalog.names, residency: model.residency) { _ in
            let stage = try model.makeStage(ranges[0])
            let plan = StagePlan(
                stage: stage, modelDigest: model.served.digest, stageIndex: 0, stageCount: ranges.count)
            let group = ReplicaGroup(stageIndex: 0, layers: ranges[0], weightByteCount: 1, address: { "head" })
            let link = next.map {
                WirePipelineLink(
                    client: WireClient(target: $0, logger: quiet), plan: plan.next(layerEnd: ranges[0].upperBound),
                    group: group, joinTimeout: joinTimeout, logger: quiet)
            }
            let engine = InferenceEngine(
                stage: stage, link: link,
                configuration: EngineConfiguration(
                    maxRunningSequences: 8, maxWaitingSequences: 64, stageCount: ranges.count,
                    endOfGenerationTokenIDs: model.served.tokenizer.endOfGenerationTokenIDs,
                    heartbeatInterval: .milliseconds(20)))
            return HeadModel(served: model.served, engine: engine, group: group, link: link)
        }
        var router = RPCRouter()
        GenerationService(catalog: catalog, pool: pool).register(in: &router)
        return (pool, WireServer(router: router, logger: quiet))
    }

    /// Waits for a token through all stages.
    func waitUntilServing() async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        while try await !client.unary(InferenceService.describe, .init()).serving {
            if ContinuousClock.now > deadline { throw RPCError(.deadlineExceeded, "the group does not serve") }
            await Task.yield()
        }
    }

    /// What one call gave.
    struct Outcome: Equatable, Sendable {
        var text = ""
        var tokens: [TokenID] = []
        var started: Fathom_Shard_V1_Started?
        var finished: Fathom_Shard_V1_Finished?
        var code: StatusCode?
        /// The error's words, for the test's report.
        var message: String?

        /// Without the fields that differ from run to run.
        var comparable: Outcome {
            var copy = self
            copy.finished?.timeToFirstTokenMicroseconds = 0
            copy.finished?.totalMicroseconds = 0
            copy.finished?.cachedTokens = 0
            return copy
        }
    }

    func generate(
        _ request: Fathom_Shard_V1_GenerateRequest, timeout: Duration? = nil,
        onDelta: @Sendable (Fathom_Shard_V1_Delta) async -> Void = { _ in }
    ) async -> Outcome {
        await Self.outcome(of: request, client, timeout: timeout, onDelta: onDelta)
    }

    static func outcome(
        of request: Fathom_Shard_V1_GenerateRequest, _ client: WireClient, timeout: Duration? = nil,
        onDelta: @Sendable (Fathom_Shard_V1_Delta) async -> Void = { _ in }
    ) async -> Outcome {
        var outcome = Outcome()
        do {
            let options = CallOptions(timeout: timeout)
            for try await event in try await client.serverStreaming(
                InferenceService.generate, request, options: options)
            {
                switch event.message.kind {
                case .started(let started): outcome.started = started
                case .delta(let delta):
                    outcome.text += delta.text
                    outcome.tokens += delta.tokenIds
                    await onDelta(delta)
                case .finished(let finished): outcome.finished = finished
                case nil: break
                }
            }
        } catch let error as RPCError {
            outcome.code = error.code
            outcome.message = error.message
        } catch {
            outcome.code = .unknown
        }
        return outcome
    }

    func generateTogether(_ requests: [Fathom_Shard_V1_GenerateRequest]) async -> [Outcome] {
        await withTaskGroup(of: (Int, Outcome).self) { tasks in
            for (index, request) in requests.enumerated() {
                tasks.addTask { (index, await generate(request)) }
            }
            var outcomes = Array(repeating: Outcome(), count: requests.count)
            for await (index, outcome) in tasks { outcomes[index] = outcome }
            return outcomes
        }
    }

    static func request(_ index: Int, maxTokens: UInt32 = 24) -> Fathom_Shard_V1_GenerateRequest {
        var request = Fathom_Shard_V1_GenerateRequest()
        request.prompt.text = "prompt \(index)" + String(repeating: "x", count: index * 5 % 37)
        request.principal.tenant = "tenant-\(index % 3)"
        request.sampling = SamplingParameters(
            maxTokens: Int(maxTokens), temperature: index % 3 == 0 ? 0.9 : 0, seed: UInt64(index),
            logprobs: index % 2 == 0 ? 3 : nil, promptLogprobs: index % 5 == 0 ? 0 : nil
        ).proto()
        request.echo = index % 5 == 0
        return request
    }
}

/// One stage after the first, with its server.
struct TestStage {
    let pool: ModelPool<StageModel>
    let server: WireServer

    init(
        ranges: [Range<Int>], index: Int, next: WireTarget?, port: Int = 0, model: TestModel = .fake
    ) async throws {
        let catalog = model.catalog()
        pool = ModelPool(names: catalog.names, residency: model.residency) { _ in
            let stage = try model.makeStage(ranges[index])
            let plan = StagePlan(
                stage: stage, modelDigest: model.served.digest, stageIndex: index, stageCount: ranges.count)
            return StageModel(
                service: StageService(
                    stage: stage, plan: plan, next: next.map { WireClient(target: $0, logger: TestGroup.quiet) },
                    group: ReplicaGroup(
                        stageIndex: index, layers: ranges[index], weightByteCount: 1, address: { "stage \(index)" }),
                    logger: TestGroup.quiet))
        }
        try await pool.preload(0)
        var router = RPCRouter()
        StageHost(stageIndex: index, catalog: catalog, pool: pool).register(in: &router)
        server = WireServer(
            configuration: WireServerConfiguration(port: port), router: router, logger: TestGroup.quiet)
    }

    /// Whether the stage before has joined.
    var isJoined: Bool { pool.snapshot(of: 0).model?.service.isJoined ?? false }

    func target() async throws -> WireTarget {
        let address = try await server.boundAddress()
        return .address(host: address.host, port: address.port)
    }

    /// Serves until cancelled.
    func run() async throws {
        try await server.run()
    }
}
