import Foundation
import HTTPTypes
import Hummingbird
import Identity
import NIOCore
import WireProtocols

/// `POST /v1/completions` and `POST /v1/chat/completions`.
struct CompletionRoutes: Sendable {
    let configuration: GatewayConfiguration
    let generation: GenerationService
    let readiness: ReadinessMonitor
    let namespaces: CacheNamespaces
    let store: StoreClient?

    /// Results asked of the store for a prompt: more than the prompt holds, because repeats fall out.
    private static let searchResultCount = 8

    func add(to router: Router<GatewayContext>) {
        router.post("/v1/completions") { request, context in try await completions(request, context) }
        router.post("/v1/chat/completions") { request, context in try await chat(request, context) }
    }

    // MARK: Completions

    private func completions(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let body = try CompletionRequest(try await request.jsonObject(limit: configuration.maximumBodySize))
        let model = try model(named: body.parameters.model)
        let scoresPrompt = body.echo && body.parameters.logprobs >= 0
        var requests: [Fathom_Shard_V1_GenerateRequest] = []
        for prompt in body.prompts {
            for choice in 0..<body.parameters.choiceCount {
                var upstream = self.request(model, context)
                upstream.prompt = prompt.proto
                upstream.sampling = body.parameters.sampling(
                    choice: choice, contextLength: Int(model.maxContextTokens), promptLogprobs: scoresPrompt)
                upstream.echo = body.echo
                requests.append(upstream)
            }
        }
        let envelope = envelope("cmpl-", model, body.parameters)
        let job = GenerationJob(
            requests: requests,
            makeRenderer: { [count = requests.count] _, isStreamed in
                var renderer = CompletionRenderer(envelope: envelope, echo: body.echo, choiceCount: count)
                renderer.isStreamed = isStreamed
                return renderer
            },
            parameters: body.parameters, promptParameter: "prompt",
            cacheKey: cacheKey(request, body.parameters, "completions", model, requests, [], context))
        return try await generation.respond(to: job, context: context)
    }

    // MARK: Chat

    private func chat(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let body = try ChatRequest(try await request.jsonObject(limit: configuration.maximumBodySize))
        let model = try model(named: body.parameters.model)
        let makeRequests: @Sendable ([ChatRequest.Message]) -> [Fathom_Shard_V1_GenerateRequest] = { messages in
            (0..<body.parameters.choiceCount).map { choice in
                var upstream = self.request(model, context)
                upstream.prompt = body.prompt(messages: messages)
                upstream.sampling = body.parameters.sampling(
                    choice: choice, contextLength: Int(model.maxContextTokens), promptLogprobs: false)
                return upstream
            }
        }
        let requests = makeRequests(body.messages)
        let envelope = envelope("chatcmpl-", model, body.parameters)
        var job = GenerationJob(
            requests: requests,
            makeRenderer: { evidence, isStreamed in
                var renderer = ChatRenderer(envelope: envelope, evidence: evidence)
                renderer.isStreamed = isStreamed
                return renderer
            },
            parameters: body.parameters, promptParameter: "messages")
        var cacheContext: [String] = []
        if let search = body.fileSearch {
            guard let store else { throw APIError.unavailable("This gateway has no document store.") }
            cacheContext = try await versions(search, store, context.scope)
            let scope = context.scope
            job.retrieve = {
                let evidence = try await retrieve(search, body.messages, store, scope)
                return (evidence, makeRequests(EvidencePrompt.messages(body.messages, evidence: evidence)))
            }
        }
        job.cacheKey = cacheKey(request, body.parameters, "chat", model, requests, cacheContext, context)
        return try await generation.respond(to: job, context: context)
    }

    /// The stores that are searched, how, and in which version: a changed document makes another cache key.
    ///
    /// - Throws: `RPCError` NOT_FOUND for a store that is not the tenant's.
    private func versions(
        _ search: ChatRequest.FileSearch, _ store: StoreClient, _ scope: RequestScope
    ) async throws -> [String] {
        var context = [
            "results=\(search.maximumResults ?? 0)", "threshold=\(search.scoreThreshold)",
            "evidence=\(configuration.evidenceDetail)",
        ]
        for id in search.vectorStoreIDs {
            let vectorStore = try await store.getVectorStore(id, scope: scope)
            context.append("\(id)@\(vectorStore.version)")
        }
        return context
    }

    private func retrieve(
        _ search: ChatRequest.FileSearch, _ messages: [ChatRequest.Message], _ store: StoreClient,
        _ scope: RequestScope
    ) async throws -> [Evidence] {
        let queries = try EvidencePrompt.queries(messages)
        guard let question = queries.last else {
            throw APIError.invalid(
                "'file_search' needs a user message that is not empty: it is what is searched for.",
                parameter: "messages")
        }
        var request = Fathom_Store_V1_SearchRequest()
        request.vectorStoreIds = search.vectorStoreIDs
        request.queries = queries
        request.maxResults = UInt32(max(search.maximumResults ?? 0, Self.searchResultCount))
        request.scoreThreshold = search.scoreThreshold
        let results = try await store.search(request, scope: scope).results.map { Evidence($0) }
        let evidence = EvidencePrompt.select(
            results, limit: search.maximumResults ?? EvidencePrompt.maximumChunkCount)
        guard configuration.evidenceDetail == .sentences else { return evidence }
        return try await KeySentences.narrow(evidence, to: question) { texts in
            var request = Fathom_Store_V1_EmbedRequest()
            request.inputs = texts
            request.poolLongInputs = true
            return try await store.embed(request, scope: scope).embeddings.map(\.values)
        }
    }

    // MARK: Both

    /// The model asked for, loaded or not; the first of the group when the request names none.
    private func model(named name: String?) throws(APIError) -> Fathom_Shard_V1_ModelDescription {
        let readiness = readiness.current()
        let models = readiness.models
        guard let first = models.first else {
            throw .unavailable("No model is being served yet: \(readiness.reason ?? "starting").")
        }
        guard let name else { return first }
        if let model = models.first(where: { $0.name == name }) { return model }
        let names = models.map(\.name)
        guard store != nil, name == OperationalRoutes.embeddingModel else { throw .modelNotFound(names) }
        throw .wrongKindOfModel("'\(name)' is an embedding model; it answers /v1/embeddings only.", instead: names)
    }

    private func request(
        _ model: Fathom_Shard_V1_ModelDescription, _ context: GatewayContext
    ) -> Fathom_Shard_V1_GenerateRequest {
        var request = Fathom_Shard_V1_GenerateRequest()
        request.model = model.name
        request.requestID = context.requestID
        request.principal = context.scope.proto
        return request
    }

    private func envelope(
        _ prefix: String, _ model: Fathom_Shard_V1_ModelDescription, _ parameters: GenerationParameters
    ) -> ResponseEnvelope {
        ResponseEnvelope(
            id: prefix + Hex.encode((0..<12).map { _ in UInt8.random(in: .min ... .max) }),
            created: Int(Date().timeIntervalSince1970), model: model.name, modelDigest: model.digest,
            choicesPerPrompt: parameters.choiceCount, includesUsage: parameters.includesUsage,
            returnsTokenIDs: parameters.returnsTokenIDs, wantsLogprobs: parameters.logprobs >= 0)
    }

    /// The key of a request whose answer may be kept: it is deterministic, the weights are known, and the client did not
    /// say `Cache-Control: no-store`.
    private func cacheKey(
        _ request: Request, _ parameters: GenerationParameters, _ kind: String,
        _ model: Fathom_Shard_V1_ModelDescription, _ requests: [Fathom_Shard_V1_GenerateRequest],
        _ cacheContext: [String], _ context: GatewayContext
    ) -> CacheKey? {
        let directives = (request.headers[.cacheControl] ?? "").lowercased()
        guard parameters.isDeterministic, !model.digest.isEmpty, generation.cache.isEnabled,
            !directives.contains("no-store"), !directives.contains("no-cache")
        else { return nil }
        return CacheKey(
            namespace: namespaces.namespace(of: context.principal), kind: kind, modelDigest: model.digest,
            requests: requests, context: cacheContext)
    }
}
