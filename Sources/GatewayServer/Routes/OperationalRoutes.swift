import HTTPTypes
import Hummingbird
import NIOCore
import WireProtocols

/// `/livez`, `/readyz`, `/metrics`, and `/v1/models`.
struct OperationalRoutes: Sendable {
    /// The encoder that the store brings.
    static let embeddingModel = "all-minilm-l6-v2"

    let readiness: ReadinessMonitor
    let metrics: GatewayMetrics
    /// Whether there is a store, which brings the embedding model.
    let hasStore: Bool

    func add(to router: Router<GatewayContext>) {
        router.get("/livez") { _, _ in Response.json(["status": "alive"]) }
        router.get("/readyz") { _, _ in readyz() }
        router.get("/metrics") { _, _ in
            var headers = HTTPFields()
            headers[.contentType] = "text/plain; version=0.0.4; charset=utf-8"
            return Response(
                status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(string: metrics.prometheusText())))
        }
        router.get("/v1/models") { _, _ in
            Response.json(["object": "list", "data": .array(models())])
        }
        router.get("/v1/models/:id") { _, context in
            let id = try context.parameters.require("id")
            let models = models()
            guard let model = models.first(where: { $0["id"]?.string == id }) else {
                throw APIError.modelNotFound(models.compactMap { $0["id"]?.string })
            }
            return Response.json(model)
        }
    }

    private func readyz() -> Response {
        let current = readiness.current()
        let inference: JSONValue = [
            "ready": .bool(current.isReady), "reason": current.reason.map { .string($0) } ?? .null,
            "model": current.model.map { .string($0.model) } ?? .null,
            "milliseconds_since_last_token": current.model.map {
                .integer(Int(clamping: $0.millisecondsSinceLastToken))
            } ?? .null,
        ]
        return .json(
            ["status": current.isReady ? "ready" : "not_ready", "parts": ["inference": inference]],
            status: current.isReady ? .ok : .serviceUnavailable)
    }

    private func models() -> [JSONValue] {
        var models: [JSONValue] = []
        let model = readiness.current().model
        if let model {
            models.append([
                "id": .string(model.model), "object": "model", "created": .integer(Int(clamping: model.created)),
                "owned_by": "fathom", "max_model_len": .integer(Int(model.maxContextTokens)),
            ])
        }
        if hasStore {
            models.append([
                "id": .string(Self.embeddingModel), "object": "model",
                "created": .integer(Int(clamping: model?.created ?? 0)), "owned_by": "fathom",
            ])
        }
        return models
    }
}
