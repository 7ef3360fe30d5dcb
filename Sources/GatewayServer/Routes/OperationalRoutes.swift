import HTTPTypes
import Hummingbird
import Identity
import NIOCore
import WireProtocols

/// `/livez`, `/readyz` and its other name `/health`, `/readyz/gateway`, `/metrics`, and `/v1/models`.
struct OperationalRoutes: Sendable {
    /// The encoder that the store brings.
    static let embeddingModel = "all-minilm-l6-v2"

    let readiness: ReadinessMonitor
    let keys: KeyStore
    let metrics: GatewayMetrics
    /// Whether there is a store, which brings the embedding model.
    let hasStore: Bool

    /// What needs no key and says nothing of any tenant.
    func addProbes(to router: Router<GatewayContext>) {
        router.get("/livez") { _, _ in Response.json(["status": "alive"]) }
        router.get("/readyz") { _, _ in readyz() }
        // What other model servers call it.
        router.get("/health") { _, _ in readyz() }
        // Of this gateway alone, for load balancers: while the shards are away it still serves files and embeddings, and
        // answers the rest with 503 and Retry-After. Taken out for their sake, it could not even say that.
        router.get("/readyz/gateway") { _, _ in
            let isEnding = readiness.isShuttingDown
            return Response.json(
                ["status": isEnding ? "shutting_down" : "ready"], status: isEnding ? .serviceUnavailable : .ok)
        }
        router.get("/metrics") { _, _ in
            var headers = HTTPFields()
            headers[.contentType] = "text/plain; version=0.0.4; charset=utf-8"
            return Response(
                status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(string: metrics.prometheusText())))
        }
    }

    func add(to router: Router<GatewayContext>) {
        addProbes(to: router)
        router.get("/v1/models") { _, _ in
            Response.json(["object": "list", "data": .array(models())])
        }
        router.get("/v1/models/:id") { _, context in try model(named: context.parameters.require("id")) }
        // Names may hold a slash, and clients write it as it is.
        router.get("/v1/models/:id/**") { _, context in
            let rest = context.parameters.getCatchAll().joined(separator: "/")
            return try model(named: context.parameters.require("id") + "/" + rest)
        }
    }

    private func model(named name: String) throws -> Response {
        let models = models()
        guard let model = models.first(where: { $0["id"]?.string == name }) else {
            throw APIError.modelNotFound(models.compactMap { $0["id"]?.string })
        }
        return .json(model)
    }

    private func readyz() -> Response {
        let current = readiness.current()
        let inference: JSONValue = [
            "ready": .bool(current.isReady), "reason": current.reason.map { .string($0) } ?? .null,
            "model": current.models.first.map { .string($0.name) } ?? .null,
            "models": .array(
                current.models.map { ["id": .string($0.name), "state": .string(ModelStateText.text(of: $0.state))] }),
            "milliseconds_since_last_token": current.group.map {
                .integer(Int(clamping: $0.millisecondsSinceLastToken))
            } ?? .null,
        ]
        // No reason to send requests elsewhere: every gateway of the cluster reads the same file, and those that have keys
        // are served.
        let keyFile: JSONValue = [
            "ready": .bool(keys.reloadError == nil),
            "reason": keys.reloadError == nil
                ? .null : "the key file cannot be read: keys made or revoked since do not count yet",
        ]
        return .json(
            [
                "status": current.isReady ? "ready" : "not_ready",
                "parts": ["inference": inference, "key_file": keyFile],
            ],
            status: current.isReady ? .ok : .serviceUnavailable)
    }

    private func models() -> [JSONValue] {
        let served = readiness.current().models
        var models: [JSONValue] = served.map { model in
            [
                "id": .string(model.name), "object": "model", "created": .integer(Int(clamping: model.created)),
                "owned_by": "fathom", "max_model_len": .integer(Int(model.maxContextTokens)),
                "state": .string(ModelStateText.text(of: model.state)),
            ]
        }
        if hasStore {
            models.append([
                "id": .string(Self.embeddingModel), "object": "model",
                "created": .integer(Int(clamping: served.first?.created ?? 0)), "owned_by": "fathom",
            ])
        }
        return models
    }
}

/// A model's state as clients see it.
enum ModelStateText {
    static func text(of state: Fathom_Shard_V1_ModelDescription.State) -> String {
        switch state {
        case .ready: "loaded"
        case .loading: "loading"
        case .evicting: "unloading"
        case .failed: "failed"
        case .absent, .unspecified, .UNRECOGNIZED: "not_loaded"
        }
    }
}
