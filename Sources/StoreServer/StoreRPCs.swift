import DocumentStore
import Encoder
import Logging
import ServiceSupport
import Wire
import WireProtocols

/// The handlers of `fathom.store.v1.Store`; the `.proto` says what each does.
struct StoreRPCs: Sendable {
    let store: DocumentStore
    let encoder: SentenceEncoder
    let modelName: String
    let metrics: StoreMetrics
    let logger: Logger

    /// Adds every method of the service to a router.
    func add(to router: inout RPCRouter) {
        addFiles(to: &router)
        addVectorStores(to: &router)
        addSearch(to: &router)
    }

    /// Runs a handler for the tenant of a call, and gives its errors their status.
    ///
    /// - Throws: `RPCError`; UNAUTHENTICATED when the call names no tenant.
    func serve<Response>(
        _ context: ServerContext, _ body: (_ tenant: String) async throws -> Response
    ) async throws -> Response {
        guard let tenant = context.metadata[MetadataKey.tenant], !tenant.isEmpty else {
            throw RPCError(.unauthenticated, "the call names no tenant")
        }
        do {
            return try await body(tenant)
        } catch {
            let status = StoreStatus.rpcError(error)
            if status.code == .internalError || status.code == .dataLoss {
                logger.error(
                    "call failed",
                    metadata: [
                        "rpc.method": "\(context.methodFullName)", "rpc.code": "\(status.code)",
                        "request.id": "\(context.metadata[MetadataKey.requestID] ?? "")", "error": "\(error)",
                    ])
            }
            throw status
        }
    }

    static func deleted(_ id: String) -> Fathom_Store_V1_DeleteResponse {
        var response = Fathom_Store_V1_DeleteResponse()
        response.id = id
        response.deleted = true
        return response
    }
}
