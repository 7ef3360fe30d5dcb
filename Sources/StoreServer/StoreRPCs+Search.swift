import DocumentStore
import Encoder
import ServiceSupport
import Wire
import WireProtocols

extension StoreRPCs {
    /// Inputs of one Embed call.
    static let maxEmbedInputs = 256

    func addSearch(to router: inout RPCRouter) {
        router.unary(StoreService.search) { request, context in
            try await serve(context) { tenant in
                let start = ContinuousClock.now
                let hits = try await store.search(tenant: tenant, request.native())
                metrics.searchSeconds.record(start.duration(to: .now))
                var response = Fathom_Store_V1_SearchResponse()
                response.results = hits.map { $0.proto() }
                return response
            }
        }
        router.unary(StoreService.embed) { request, context in
            try await serve(context) { _ in try await embed(request) }
        }
    }

    private func embed(_ request: Fathom_Store_V1_EmbedRequest) async throws -> Fathom_Store_V1_EmbedResponse {
        guard request.inputs.isEmpty || request.tokenInputs.isEmpty else {
            throw RPCError(.invalidArgument, "expected texts or tokens, got both")
        }
        let count = request.inputs.count + request.tokenInputs.count
        guard (1...Self.maxEmbedInputs).contains(count) else {
            throw RPCError(.invalidArgument, "expected 1...\(Self.maxEmbedInputs) inputs, got \(count)")
        }
        let longInputs: LongInput = request.poolLongInputs ? .pool : .refuse
        let (vectors, counts) =
            request.inputs.isEmpty
            ? try await encoder.embed(tokens: request.tokenInputs.map(\.ids), longInputs: longInputs)
            : try await encoder.embed(request.inputs, longInputs: longInputs)
        let tokens = counts.reduce(0, +)
        metrics.embeddedTokens.increment(by: tokens)
        var response = Fathom_Store_V1_EmbedResponse()
        response.embeddings = vectors.map { vector in
            var embedding = Fathom_Store_V1_Embedding()
            embedding.values = vector
            return embedding
        }
        response.promptTokens = UInt32(tokens)
        response.model = modelName
        return response
    }
}
