import GatewayServer
import Testing

struct CORSTests {
    private static let page = "https://app.example"

    private func preflight(_ gateway: GatewayFixture, origin: String) async throws -> GatewayFixture.Reply {
        try await gateway.send(
            "OPTIONS", "/v1/chat/completions", key: "",
            headers: [
                "Origin": origin, "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,Content-Type, x-stainless-os",
            ], body: [])
    }

    @Test("by default a preflight is no question of keys, and no page may read an answer")
    func off() async throws {
        try await withGateway { gateway in
            let reply = try await preflight(gateway, origin: Self.page)
            #expect(reply.status == 204)
            #expect(reply.headers["allow"] == "OPTIONS, POST")
            #expect(!reply.headers.keys.contains { $0.hasPrefix("access-control") })
            let answer = try await gateway.get("/v1/models", headers: ["Origin": Self.page])
            #expect(answer.status == 200)
            #expect(!answer.headers.keys.contains { $0.hasPrefix("access-control") })
        }
    }

    @Test("pages of the listed origins may read answers and errors, others may not")
    func listed() async throws {
        try await withGateway(configure: { $0.corsAllowedOrigins = [Self.page, "http://localhost:3000"] }) { gateway in
            let reply = try await preflight(gateway, origin: Self.page)
            #expect(reply.status == 204)
            #expect(reply.headers["access-control-allow-origin"] == Self.page)
            #expect(reply.headers["access-control-allow-methods"] == "OPTIONS, POST")
            #expect(reply.headers["access-control-allow-headers"] == "authorization, content-type, x-stainless-os")
            #expect(reply.headers["access-control-allow-credentials"] == nil)
            #expect(reply.headers["vary"] == "Origin")
            for (path, status) in [("/v1/models", 200), ("/none", 404)] {
                let answer = try await gateway.get(path, headers: ["Origin": Self.page])
                #expect(answer.status == status)
                #expect(answer.headers["access-control-allow-origin"] == Self.page)
                #expect(answer.headers["access-control-expose-headers"]?.contains("x-request-id") == true)
            }
            let other = try await preflight(gateway, origin: "https://evil.example")
            #expect(!other.headers.keys.contains { $0.hasPrefix("access-control") })
            #expect(other.headers["vary"] == "Origin")
        }
    }

    @Test("a star lets every page in")
    func star() async throws {
        try await withGateway(configure: { $0.corsAllowedOrigins = ["*"] }) { gateway in
            let answer = try await gateway.get("/v1/models", key: "", headers: ["Origin": "https://any.example"])
            #expect(answer.status == 401)
            #expect(answer.headers["access-control-allow-origin"] == "*")
            #expect(try await gateway.get("/v1/models").headers["access-control-allow-origin"] == nil)
        }
    }

    @Test(
        "what is no origin is refused",
        arguments: ["app.example", "https://", "https://app.example/path", "https://a b", "://x", "https://x:port"])
    func origins(_ text: String) {
        #expect(CORSPolicy(origins: [text]) == nil)
        #expect(CORSPolicy(origins: ["https://app.example", "http://[::1]:3000", "*"]) != nil)
    }
}
