import Foundation
import GatewayServer
import Testing
import Wire

struct StorageErrorTests {
    @Test("a full disk is 507 with its own code, here and in the store; a full queue stays 429")
    func codes() {
        let here = APIError(any: GatewayError(code: .insufficientStorage, message: "cannot write an upload to disk"))
        let there = APIError(
            RPCError(.resourceExhausted, "no space", metadata: ["fathom-error-code": "insufficient_storage"]))
        for error in [here, there] {
            #expect(error.status == 507)
            #expect(error.code == "insufficient_storage")
        }
        #expect(APIError(RPCError(.resourceExhausted, "the queue is full")).status == 429)
        #expect(
            APIError(RPCError(.resourceExhausted, "full", metadata: ["fathom-error-code": "another"])).status == 429)
        #expect(APIError(any: GatewayError(code: .stateUnavailable, message: "x")).status == 500)
    }

    @Test("an upload onto a full disk is 507, and reading goes on", .timeLimit(.minutes(1)))
    func fullDisk() async throws {
        try await withGateway { gateway in
            let file = try await FileTests.upload(gateway, [1, 2, 3])
            gateway.store.setCreateFailure(
                RPCError(.resourceExhausted, "no space", metadata: ["fathom-error-code": "insufficient_storage"]))
            let reply = try await gateway.send(
                "POST", "/v1/files", headers: FileTests.headers, body: FileTests.form([4, 5]))
            #expect(reply.status == 507)
            #expect(try reply.json["error"]?["code"] == "insufficient_storage")
            let id = try #require(file["id"]?.string)
            #expect(try await gateway.get("/v1/files/\(id)/content").body == [1, 2, 3])
        }
    }
}
