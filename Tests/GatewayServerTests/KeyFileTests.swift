import Foundation
import GatewayServer
import Identity
import Testing

struct KeyFileTests {
    @Test(
        "a key file that cannot be read is said in the log, in a metric and in readyz, and keys stay",
        .timeLimit(.minutes(1)))
    func unreadable() async throws {
        try await withGateway { gateway in
            let before = try await gateway.get("/readyz", key: "").json
            #expect(before["parts"]?["key_file"] == ["ready": true, "reason": nil])
            let whole = try Data(contentsOf: URL(fileURLWithPath: gateway.keysPath))
            try Data("half a fi".utf8).write(to: URL(fileURLWithPath: gateway.keysPath))
            try await eventually("the metric says so") {
                try await gateway.get("/metrics", key: "").text.contains("fathom_gateway_key_file_readable 0")
            }
            let reply = try await gateway.get("/readyz", key: "")
            #expect(reply.status == 200)
            #expect(try reply.json["parts"]?["key_file"]?["ready"] == false)
            #expect(reply.text.contains("the key file cannot be read"))
            // Who asks without a key learns no paths.
            #expect(!reply.text.contains(gateway.directory))
            #expect(gateway.logs.text.components(separatedBy: "The key file cannot be read").count == 2)
            #expect(try await gateway.get("/v1/models").status == 200)
            try whole.write(to: URL(fileURLWithPath: gateway.keysPath))
            try await eventually("it is well again") {
                try await gateway.get("/readyz", key: "").json["parts"]?["key_file"]?["ready"] == true
            }
            #expect(gateway.logs.text.contains("The key file can be read again"))
        }
    }
}
