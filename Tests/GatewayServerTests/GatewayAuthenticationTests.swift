import Foundation
import GatewayServer
import Identity
import Testing

struct GatewayAuthenticationTests {
    @Test("everything but the probes and metrics needs a key, also what does not exist")
    func required() async throws {
        try await withGateway { gateway in
            for path in ["/livez", "/readyz", "/health", "/metrics"] {
                #expect(try await gateway.get(path, key: "").status == 200)
            }
            for path in ["/v1/models", "/v1/files", "/v1/vector_stores", "/nothing"] {
                for key in ["", "nonsense", APIKey.generate().plainText] {
                    let reply = try await gateway.get(path, key: key)
                    #expect(reply.status == 401)
                    #expect(try reply.json["error"]?["type"] == "authentication_error")
                    #expect(reply.headers["www-authenticate"] == "Bearer")
                }
            }
            #expect(try await gateway.get("/nothing").status == 404)
            #expect(try await gateway.post("/v1/models", [:]).status == 405)
        }
    }

    @Test("a revoked key stops working and a new one starts, without a restart")
    func reload() async throws {
        try await withGateway { gateway in
            #expect(try await gateway.get("/v1/models").status == 200)
            let fresh = try KeyFile.update(path: gateway.keysPath) { file in
                for entry in file.keys where entry.tenant == "acme" { try file.revoke(entry.id) }
                return try file.add(tenant: "acme").plainText
            }
            try await eventually("the revoked key is refused") { try await gateway.get("/v1/models").status == 401 }
            #expect(try await gateway.get("/v1/models", key: fresh).status == 200)
        }
    }

    @Test("a tenant cannot be chosen by a header")
    func tenantHeader() async throws {
        try await withGateway { gateway in
            _ = try await gateway.post(
                "/v1/completions", ["model": "tiny-instruct", "prompt": "x", "user": "rival"],
                headers: ["fathom-tenant": "rival", "X-Fathom-Tenant": "rival"])
            #expect(gateway.head.seen.tenants == ["acme"])
        }
    }

    @Test("a harmless request id is kept, another replaced")
    func requestID() async throws {
        try await withGateway { gateway in
            let kept = try await gateway.get("/v1/models", headers: ["X-Request-ID": "abc-1.2_3"])
            #expect(kept.headers["x-request-id"] == "abc-1.2_3")
            let replaced = try await gateway.get("/v1/models", headers: ["X-Request-ID": "a b"])
            #expect(replaced.headers["x-request-id"]?.hasPrefix("req_") == true)
        }
    }
}
