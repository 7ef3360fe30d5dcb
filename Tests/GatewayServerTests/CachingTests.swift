import Foundation
import GatewayServer
import Testing
import WireProtocols

struct CachingTests {
    private static func body(stream: Bool = false, temperature: JSONValue = 0, seed: JSONValue = .null) -> JSONValue {
        [
            "model": "tiny-instruct", "messages": [["role": "user", "content": "Hi"]], "stream": .bool(stream),
            "temperature": temperature, "seed": seed,
        ]
    }

    private static let path = "/v1/chat/completions"

    @Test("a deterministic request is answered from the cache, whole or streamed, whichever came first")
    func hits() async throws {
        try await withGateway { gateway in
            let first = try await gateway.post(Self.path, Self.body(stream: true))
            #expect(first.headers["x-fathom-cache"] == "miss")
            let whole = try await gateway.post(Self.path, Self.body())
            #expect(whole.headers["x-fathom-cache"] == "hit")
            #expect(try whole.json["choices"]?[0]?["message"]?["content"] == "Hello world.")
            #expect(try whole.json["usage"]?["total_tokens"] == 4)
            let streamed = try await gateway.post(Self.path, Self.body(stream: true))
            #expect(streamed.headers["x-fathom-cache"] == "hit")
            #expect(streamed.events.count == first.events.count)
            #expect(streamed.events.last == "[DONE]")
            #expect(gateway.head.seen.requests.count == 1)
            let metrics = try await gateway.get("/metrics").text
            #expect(metrics.contains("fathom_gateway_cache_hits_total{model=\"tiny-instruct\"} 2"))
            #expect(metrics.contains("fathom_gateway_cache_misses_total{model=\"tiny-instruct\"} 1"))
        }
    }

    @Test("another tenant never gets a cached answer")
    func isolation() async throws {
        try await withGateway { gateway in
            _ = try await gateway.post(Self.path, Self.body())
            let rival = try await gateway.post(Self.path, Self.body(), key: gateway.rivalKey)
            #expect(rival.headers["x-fathom-cache"] == "miss")
            #expect(gateway.head.seen.tenants == ["acme", "rival"])
        }
    }

    @Test("what is random, or must not be kept, goes past the cache")
    func bypass() async throws {
        try await withGateway { gateway in
            for _ in 0..<2 {
                let random = try await gateway.post(Self.path, Self.body(temperature: 1))
                #expect(random.headers["x-fathom-cache"] == "bypass")
                let refused = try await gateway.post(Self.path, Self.body(), headers: ["Cache-Control": "no-store"])
                #expect(refused.headers["x-fathom-cache"] == "bypass")
            }
            #expect(gateway.head.seen.requests.count == 4)
            #expect(try await gateway.post(Self.path, Self.body()).headers["x-fathom-cache"] == "miss")
            let seeded = try await gateway.post(Self.path, Self.body(temperature: 1, seed: 5))
            #expect(seeded.headers["x-fathom-cache"] == "miss")
        }
    }

    @Test("other weights are another answer")
    func modelDigest() async throws {
        try await withGateway { gateway in
            _ = try await gateway.post(Self.path, Self.body())
            gateway.head.setDescription { $0.modelDigest = String(repeating: "cd", count: 32) }
            try await eventually("the gateway has seen the other weights") {
                try await gateway.post(Self.path, Self.body()).headers["x-fathom-cache"] == "miss"
            }
        }
    }

    @Test("a failed answer is not kept")
    func failure() async throws {
        try await withGateway(script: FakeHead.fails(RPCErrorCase.unavailable.error, after: ["x"])) { gateway in
            _ = try await gateway.post(Self.path, Self.body(stream: true))
            gateway.head.setScript(FakeHead.words(["good"]))
            let reply = try await gateway.post(Self.path, Self.body())
            #expect(reply.headers["x-fathom-cache"] == "miss")
            #expect(try reply.json["choices"]?[0]?["message"]?["content"] == "good")
        }
    }
}
