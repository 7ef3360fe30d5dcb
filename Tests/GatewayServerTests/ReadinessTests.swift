import Foundation
import GatewayServer
import Testing
import Wire
import WireProtocols

struct ReadinessTests {
    private func expect(_ status: Int, reason: String, _ gateway: GatewayFixture) async throws {
        try await eventually("readyz is \(status): \(reason)") {
            let reply = try await gateway.get("/readyz", key: "")
            return reply.status == status && reply.text.contains(reason)
        }
    }

    @Test("ready means that the head answers, serves, and made a token within the last seconds")
    func reasons() async throws {
        try await withGateway { gateway in
            gateway.head.setDescription { $0.millisecondsSinceLastToken = 2_501 }
            try await expect(503, reason: "2501 ms", gateway)
            gateway.head.setDescription { $0.millisecondsSinceLastToken = .max }
            try await expect(503, reason: "no token", gateway)
            gateway.head.setDescription { description in
                description.millisecondsSinceLastToken = 0
                description.serving = false
                var stage = Fathom_Shard_V1_StageDescription()
                stage.index = 1
                description.stages = [stage]
            }
            try await expect(503, reason: "stages not linked: 1", gateway)
            gateway.head.setDescription { $0.serving = true }
            try await expect(200, reason: "ready", gateway)
            #expect(try await gateway.get("/metrics", key: "").text.contains("fathom_gateway_ready 1"))
            gateway.head.setDescribeFailure(RPCError(.internalError, "confused"))
            try await expect(503, reason: "does not answer (INTERNAL)", gateway)
            gateway.head.setDescribeFailure(nil)
            try await expect(200, reason: "ready", gateway)
            gateway.head.setDescribeFailure(RPCError(.unavailable, "gone"))
            try await expect(503, reason: "does not answer (UNAVAILABLE)", gateway)
            try await eventually("the metric follows") {
                try await gateway.get("/metrics", key: "").text.contains("fathom_gateway_ready 0")
            }
            #expect(try await gateway.get("/livez", key: "").status == 200)
        }
    }

    @Test("models lists what is served")
    func models() async throws {
        try await withGateway { gateway in
            let models = try await gateway.get("/v1/models").json
            #expect(models["data"]?.array?.compactMap { $0["id"]?.string } == ["tiny-instruct", "all-minilm-l6-v2"])
            let model = try await gateway.get("/v1/models/tiny-instruct").json
            #expect(model["object"] == "model")
            #expect(model["max_model_len"] == 2_048)
        }
    }

    private static let threeModels: [(String, Fathom_Shard_V1_ModelDescription.State)] = [
        ("small", .absent), ("large", .ready), ("odd", .failed),
    ]

    @Test("several models are listed with their state, chosen by name, and need not be loaded to be ready")
    func severalModels() async throws {
        try await withGateway { gateway in
            gateway.head.setDescription { description in
                description.models = Self.threeModels.map { name, state in
                    var model = Fathom_Shard_V1_ModelDescription()
                    model.name = name
                    model.state = state
                    model.maxContextTokens = 512
                    model.millisecondsSinceLastToken = state == .ready ? 5 : .max
                    return model
                }
            }
            try await eventually("three models") {
                try await gateway.get("/v1/models").json["data"]?.array?.count == 4
            }
            let models = try await gateway.get("/v1/models").json["data"]?.array ?? []
            #expect(models.prefix(3).compactMap { $0["state"]?.string } == ["not_loaded", "loaded", "failed"])
            try await expect(200, reason: "not_loaded", gateway)

            let known = try await gateway.post("/v1/completions", ["model": "large", "prompt": "a", "max_tokens": 1])
            #expect(known.status == 200 && gateway.head.seen.requests.last?.model == "large")
            let first = try await gateway.post("/v1/completions", ["prompt": "a", "max_tokens": 1])
            #expect(first.status == 200 && gateway.head.seen.requests.last?.model == "small")
            let unknown = try await gateway.post("/v1/completions", ["model": "tiny-instruct", "prompt": "a"])
            #expect(unknown.status == 404 && unknown.text.contains("small, large, odd"))

            gateway.head.setDescription { $0.models[1].millisecondsSinceLastToken = 9_000 }
            try await expect(503, reason: "model large", gateway)
            gateway.head.setDescription { $0.models[1].state = .evicting }
            try await expect(200, reason: "unloading", gateway)
            gateway.head.setDescription { description in
                description.models[1].state = .failed
                description.models[1].problem = "it computes no finite number"
            }
            try await expect(200, reason: "failed", gateway)
            gateway.head.setDescription { $0.models[0].state = .failed }
            try await expect(503, reason: "no model can be used", gateway)
        }
    }
}
