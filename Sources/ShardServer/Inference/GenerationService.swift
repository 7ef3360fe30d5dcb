import Engine
import InferenceCore
import Wire
import WireProtocols

/// The head's public rpcs: see `fathom.shard.v1.Inference`.
///
/// Tokenising and rendering run in the handler's task; the engine's step thread sees token ids only.
package final class GenerationService: Sendable {
    private let catalog: ModelCatalog
    private let pool: ModelPool<HeadModel>
    private let memoryBudget: Int?

    /// - Parameter memoryBudget: of `pool`, for those who ask.
    package init(catalog: ModelCatalog, pool: ModelPool<HeadModel>, memoryBudget: Int? = nil) {
        self.catalog = catalog
        self.pool = pool
        self.memoryBudget = memoryBudget
    }

    /// Adds the rpcs to a router.
    package func register(in router: inout RPCRouter) {
        router.serverStreaming(InferenceService.generate) { request, writer, context in
            try await self.withModel(request.model) { try await self.generate(request, $0, writer, context) }
        }
        router.unary(InferenceService.tokenize) { request, _ in
            try await self.withModel(request.model) { try self.tokenize(request, $0) }
        }
        router.unary(InferenceService.describe) { request, _ in
            do throws(InferenceError) {
                return try self.describe(request)
            } catch {
                throw error.rpcError(contextLimit: 0)
            }
        }
    }

    /// Runs `body` with a model, which is loaded first if need be and stays loaded until `body` has ended.
    private func withModel<Result>(_ name: String, _ body: (HeadModel) async throws -> Result) async throws -> Result {
        var contextLimit = 0
        do {
            let index = try catalog.index(named: name)
            if catalog.card(of: index) == nil {
                // Its file could not be read, and may be there by now.
                pool.setByteCount(try await catalog.currentCard(of: index).byteCount, of: index)
            }
            let lease = try await pool.lease(index)
            defer { lease.release() }
            // A stage that is set up otherwise may be put right, and requests may wait for that elsewhere.
            if let fault = lease.model.fault(), fault.code != .notReady { throw fault }
            contextLimit = lease.model.engine.limits.contextLimit
            return try await body(lease.model)
        } catch let error as InferenceError {
            throw error.rpcError(contextLimit: contextLimit)
        }
    }

    // MARK: - Generate

    private func generate(
        _ request: Fathom_Shard_V1_GenerateRequest, _ loaded: HeadModel,
        _ writer: RPCWriter<Fathom_Shard_V1_GenerateEvent>, _ context: ServerContext
    ) async throws {
        let start = ContinuousClock.now
        let (engine, model) = (loaded.engine, loaded.served)
        var sampling = SamplingParameters(proto: request.sampling)
        let stops = try Self.stopStrings(request.sampling.stop)
        let prompt = try model.prepare(request.prompt, contextLimit: engine.limits.contextLimit)
        if sampling.seed == nil { sampling.seed = UInt64.random(in: .min ... .max) }

        let generation = try engine.submit(
            EngineRequest(
                tenant: request.principal.tenant, promptTokenIDs: prompt.tokenIDs, sampling: sampling,
                deadline: context.deadline))
        // Without effect when the generation ended by itself.
        defer { engine.cancel(generation.id) }
        var output = GenerationOutput(
            model: model, sampling: sampling, stops: stops, prompt: prompt, echo: request.echo,
            endOfGeneration: engine.limits.endOfGenerationTokenIDs, start: start)
        for await event in generation.events {
            for message in try output.messages(for: event, now: .now) { try await writer.write(message) }
            if output.isFinished { return }
        }
        try Task.checkCancellation()
        throw InferenceError(code: .internalError, message: "the engine ended \(generation.id) without a reason")
    }

    /// - Throws: `invalidRequest` for empty, too many or too long stop strings.
    private static func stopStrings(_ stops: [String]) throws(InferenceError) -> [String] {
        guard stops.count <= StopMatcher.maxCount else {
            throw InferenceError(
                code: .invalidRequest,
                message: "stop has \(stops.count) strings; expected at most \(StopMatcher.maxCount)")
        }
        for stop in stops where stop.isEmpty || stop.utf8.count > StopMatcher.maxByteCount {
            throw InferenceError(
                code: .invalidRequest,
                message: "a stop string has \(stop.utf8.count) bytes; expected 1...\(StopMatcher.maxByteCount)")
        }
        return stops
    }

    // MARK: - Tokenize

    private func tokenize(
        _ request: Fathom_Shard_V1_TokenizeRequest, _ loaded: HeadModel
    ) throws(InferenceError) -> Fathom_Shard_V1_TokenizeResponse {
        let contextLimit = loaded.engine.limits.contextLimit
        var response = Fathom_Shard_V1_TokenizeResponse()
        response.ids = try loaded.served.prepare(request.prompt, contextLimit: contextLimit).tokenIDs
        response.maxContextTokens = UInt32(contextLimit)
        return response
    }

    // MARK: - Describe

    private func describe(
        _ request: Fathom_Shard_V1_DescribeRequest
    ) throws(InferenceError) -> Fathom_Shard_V1_DescribeResponse {
        let index = try catalog.index(named: request.model)
        let now = ContinuousClock.now
        var response = Fathom_Shard_V1_DescribeResponse()
        response.models = catalog.names.indices.map { describe($0, now: now) }
        let described = response.models[index]
        response.model = described.name
        response.modelDigest = described.digest
        response.architecture = described.architecture
        response.maxContextTokens = described.maxContextTokens
        response.vocabularySize = described.vocabularySize
        response.created = described.created
        response.memoryBudgetBytes = UInt64(memoryBudget ?? 0)

        // A model that is at fault by itself says nothing about the others.
        let asked = pool.loadedModels.filter { request.model.isEmpty || $0.index == index }.map(\.model)
        let sound = asked.filter { $0.fault(now: now) == nil }
        let problems = sound.map { $0.engine.status.problem(now: now) }
        let states = request.model.isEmpty ? response.models.map(\.state) : [described.state]
        response.serving = problems.allSatisfy { $0 == nil } && !states.allSatisfy { $0 == .failed }
        if let shown = problems.firstIndex(where: { $0 != nil }) ?? sound.indices.first {
            response.stages = sound[shown].group.stages
        } else if let first = asked.first {
            response.stages = first.group.stages
        }
        response.millisecondsSinceLastToken =
            sound.map { $0.engine.status.millisecondsSinceLastToken(now: now) ?? .max }.max() ?? .max
        let statuses = asked.map(\.engine.status)
        for status in statuses {
            response.runningSequences += UInt32(status.runningSequences)
            response.waitingSequences += UInt32(status.waitingSequences)
            response.kvCacheBlocksUsed += UInt32(status.kvBlocksUsed)
            response.kvCacheBlocksTotal += UInt32(status.kvBlocksTotal)
        }
        return response
    }

    private func describe(_ index: Int, now: ContinuousClock.Instant) -> Fathom_Shard_V1_ModelDescription {
        var description = Fathom_Shard_V1_ModelDescription()
        description.name = catalog.names[index]
        if let card = catalog.card(of: index) {
            description.digest = card.digest
            description.architecture = card.architecture
            description.maxContextTokens = UInt32(card.maxContextTokens)
            description.vocabularySize = UInt32(card.vocabularySize)
            description.created = card.created
        }
        let snapshot = pool.snapshot(of: index)
        let problem = catalog.problem(of: index) ?? snapshot.failure
        switch snapshot.phase {
        case .absent: description.state = problem == nil ? .absent : .failed
        case .loading: description.state = .loading
        case .ready: description.state = .ready
        case .evicting: description.state = .evicting
        }
        description.bytes = UInt64(snapshot.byteCount)
        description.openRequests = UInt32(snapshot.userCount)
        description.loadingRequests = UInt32(snapshot.waiterCount)
        description.millisecondsSinceLastToken = .max
        guard let model = snapshot.model else {
            description.problem = problem?.message ?? ""
            return description
        }
        let status = model.engine.status
        if model.fault(now: now) != nil { description.state = .failed }
        description.problem = model.problem(now: now) ?? ""
        description.millisecondsSinceLastToken = status.millisecondsSinceLastToken(now: now) ?? .max
        description.runningSequences = UInt32(status.runningSequences)
        description.waitingSequences = UInt32(status.waitingSequences)
        return description
    }
}

extension EngineStatus {
    /// A token must have gone through all stages this recently.
    package static let livenessLimit = Duration.seconds(3)

    /// Why no request would be served now; nil when one would.
    package func problem(now: ContinuousClock.Instant = .now) -> String? {
        guard isLinked else { return "a pipeline stage is not linked" }
        guard let lastTokenTime else { return "no token has been generated yet" }
        guard lastTokenTime.duration(to: now) < Self.livenessLimit else {
            return "no token went through all stages for \(lastTokenTime.duration(to: now).components.seconds) s"
        }
        return nil
    }
}
