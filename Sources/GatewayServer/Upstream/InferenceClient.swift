import Wire
import WireProtocols

/// Calls to the head of a replica group.
package struct InferenceClient: Sendable {
    private let client: WireClient

    package init(_ client: WireClient) {
        self.client = client
    }

    /// Starts one completion; the sequence ends with `finished` or throws `RPCError`.
    func generate(
        _ request: Fathom_Shard_V1_GenerateRequest, options: CallOptions
    ) async throws -> RPCResponses<Fathom_Shard_V1_GenerateEvent> {
        try await client.serverStreaming(InferenceService.generate, request, options: options)
    }

    /// What the head says of itself and its group.
    ///
    /// - Throws: `RPCError`, at the latest after `timeout`.
    func describe(timeout: Duration) async throws -> Fathom_Shard_V1_DescribeResponse {
        try await client.unary(
            InferenceService.describe, Fathom_Shard_V1_DescribeRequest(),
            options: CallOptions(timeout: timeout, waitForReady: false))
    }
}
