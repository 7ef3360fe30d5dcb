import Engine
import InferenceCore
import Wire
import WireProtocols

/// The head's public rpcs: see `fathom.shard.v1.Inference`.
///
/// Tokenising and rendering run in the handler's task; the engine's step thread sees token ids only.
package final class GenerationService: Sendable {
    private let engine: InferenceEngine
    private let model: ServedModel
    private let group: ReplicaGroup

    package init(engine: InferenceEngine, model: ServedModel, group: ReplicaGroup) {
        self.engine = engine
        self.model = model
        self.group = group
    }

    /// Adds the rpcs to a router.
    package func register(in router: inout RPCRouter) {
        router.serverStreaming(InferenceService.generate) { request, writer, context in
            try await self.rethrowing { try await self.generate(request, writer, context) }
        }
        router.unary(InferenceService.tokenize) { request, _ in
            try await self.rethrowing { try self.tokenize(request) }
        }
        router.unary(InferenceService.describe) { _, _ in self.describe() }
    }

    private func rethrowing<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let error as InferenceError {
            throw error.rpcError(contextLimit: engine.limits.contextLimit)
        }
    }

    // MARK: - Generate

    private func generate(
        _ request: Fathom_Shard_V1_GenerateRequest, _ writer: RPCWriter<Fathom_Shard_V1_GenerateEvent>,
        _ context: ServerContext
    ) async throws {
        let start = ContinuousClock.now
        try model.check(name: request.model)
        var sampling = SamplingParameters(proto: request.sampling)
        let stops = try Self.stopStrings(request.sampling.stop)
        let tokens = try model.tokenIDs(of: request.prompt, contextLimit: engine.limits.contextLimit)
        if sampling.seed == nil { sampling.seed = UInt64.random(in: .min ... .max) }

        let generation = try engine.submit(
            EngineRequest(
                tenant: request.principal.tenant, promptTokenIDs: tokens, sampling: sampling,
                deadline: context.deadline))
        // Without effect when the generation ended by itself.
        defer { engine.cancel(generation.id) }
        var output = GenerationOutput(
            model: model, sampling: sampling, stops: stops, promptTokenIDs: tokens, echo: request.echo,
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

    // MARK: - Tokenize, Describe

    private func tokenize(
        _ request: Fathom_Shard_V1_TokenizeRequest
    ) throws(InferenceError) -> Fathom_Shard_V1_TokenizeResponse {
        try model.check(name: request.model)
        var response = Fathom_Shard_V1_TokenizeResponse()
        response.ids = try model.tokenIDs(of: request.prompt, contextLimit: engine.limits.contextLimit)
        response.maxContextTokens = UInt32(engine.limits.contextLimit)
        return response
    }

    private func describe() -> Fathom_Shard_V1_DescribeResponse {
        let status = engine.status
        let now = ContinuousClock.now
        var response = Fathom_Shard_V1_DescribeResponse()
        response.model = model.name
        response.modelDigest = model.digest
        response.architecture = model.architecture
        response.maxContextTokens = UInt32(engine.limits.contextLimit)
        response.vocabularySize = UInt32(engine.limits.vocabularySize)
        response.stages = group.stages
        response.serving = status.problem(now: now) == nil
        response.millisecondsSinceLastToken = status.millisecondsSinceLastToken(now: now) ?? .max
        response.runningSequences = UInt32(status.runningSequences)
        response.waitingSequences = UInt32(status.waitingSequences)
        response.kvCacheBlocksUsed = UInt32(status.kvBlocksUsed)
        response.kvCacheBlocksTotal = UInt32(status.kvBlocksTotal)
        response.created = model.created
        return response
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
