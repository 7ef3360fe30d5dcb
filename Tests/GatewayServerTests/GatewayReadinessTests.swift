import Foundation
import GatewayServer
import Testing
import Wire

/// What a load balancer is told.
struct GatewayReadinessTests {
    @Test("a gateway stays in service while the shards are away, and says 503 with Retry-After itself")
    func ownReadiness() async throws {
        try await withGateway { gateway in
            try await eventually("the cluster is ready") { try await gateway.get("/readyz", key: "").status == 200 }
            #expect(try await gateway.get("/readyz/gateway", key: "").status == 200)
            gateway.head.setDescribeFailure(RPCError(.unavailable, "gone"))
            try await eventually("the cluster is not ready") { try await gateway.get("/readyz", key: "").status == 503 }
            let own = try await gateway.get("/readyz/gateway", key: "")
            #expect(own.status == 200)
            #expect(try own.json["status"] == "ready")
        }
    }
}
