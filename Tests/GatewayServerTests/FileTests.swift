import Foundation
import GatewayServer
import Testing

struct FileTests {
    static func form(_ content: [UInt8], purpose: String? = "assistants", filename: String = "dir/notes.md") -> [UInt8]
    {
        var body: [UInt8] = []
        body += Array(
            "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\(filename)\"\r\nContent-Type: text/markdown\r\n\r\n"
                .utf8)
        body += content
        if let purpose {
            body += Array("\r\n--B\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n\(purpose)".utf8)
        }
        return body + Array("\r\n--B--\r\n".utf8)
    }

    static let headers = ["Content-Type": "multipart/form-data; boundary=B"]

    static func upload(_ gateway: GatewayFixture, _ content: [UInt8], key: String? = nil) async throws -> JSONValue {
        let reply = try await gateway.send("POST", "/v1/files", key: key, headers: headers, body: form(content))
        #expect(reply.status == 200)
        return try reply.json
    }

    @Test("a file is uploaded, listed, read back, and deleted")
    func lifecycle() async throws {
        try await withGateway { gateway in
            let content = (0..<900_000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
            let file = try await Self.upload(gateway, content)
            #expect(file["object"] == "file")
            #expect(file["filename"] == "notes.md")
            #expect(file["bytes"] == 900_000)
            #expect(file["purpose"] == "assistants")
            #expect(gateway.store.content(tenant: "acme") == content)
            #expect(gateway.store.largestPiece <= 256 * 1024)
            let id = try #require(file["id"]?.string)
            #expect(try await gateway.get("/v1/files/\(id)").json["id"]?.string == id)
            let download = try await gateway.get("/v1/files/\(id)/content")
            #expect(download.body == content)
            #expect(try await gateway.get("/v1/files").json["data"]?.array?.count == 1)
            // Another tenant sees nothing of it.
            #expect(try await gateway.get("/v1/files", key: gateway.rivalKey).json["data"] == [])
            for path in ["/v1/files/\(id)", "/v1/files/\(id)/content"] {
                #expect(try await gateway.get(path, key: gateway.rivalKey).status == 404)
            }
            #expect(try await gateway.delete("/v1/files/\(id)", key: gateway.rivalKey).status == 404)
            let deleted = try await gateway.delete("/v1/files/\(id)")
            #expect(try deleted.json == ["id": .string(id), "object": "file", "deleted": true])
            #expect(try await gateway.get("/v1/files/\(id)").status == 404)
            // Nothing stays on the gateway's own disk.
            let left = try FileManager.default.contentsOfDirectory(atPath: gateway.directory + "/state")
            #expect(left == ["cache-secret"])
        }
    }

    @Test("pages follow the cursor")
    func pages() async throws {
        try await withGateway { gateway in
            var ids: [String] = []
            for index in 0..<5 {
                ids.append(try #require(try await Self.upload(gateway, [UInt8(index)])["id"]?.string))
            }
            let first = try await gateway.get("/v1/files?limit=2").json
            #expect(first["data"]?.array?.compactMap { $0["id"]?.string } == [ids[4], ids[3]])
            #expect(first["has_more"] == true)
            #expect(first["last_id"]?.string == ids[3])
            let rest = try await gateway.get("/v1/files?limit=10&after=\(ids[3])").json
            #expect(rest["data"]?.array?.compactMap { $0["id"]?.string } == [ids[2], ids[1], ids[0]])
            #expect(rest["has_more"] == false)
            let ascending = try await gateway.get("/v1/files?order=asc&limit=1").json
            #expect(ascending["data"]?[0]?["id"]?.string == ids[0])
        }
    }

    @Test("a listing by purpose has whole pages, and says rightly whether more follow")
    func purposes() async throws {
        try await withGateway { gateway in
            for index in 0..<6 {
                let purpose = index.isMultiple(of: 2) ? "batch" : "assistants"
                let reply = try await gateway.send(
                    "POST", "/v1/files", headers: Self.headers, body: Self.form([UInt8(index)], purpose: purpose))
                #expect(reply.status == 200)
            }
            let first = try await gateway.get("/v1/files?purpose=batch&limit=2").json
            #expect(first["data"]?.array?.compactMap { $0["purpose"]?.string } == ["batch", "batch"])
            #expect(first["has_more"] == true)
            let last = try #require(first["last_id"]?.string)
            let rest = try await gateway.get("/v1/files?purpose=batch&limit=2&after=\(last)").json
            #expect(rest["data"]?.array?.count == 1)
            #expect(rest["has_more"] == false)
        }
    }

    @Test("a file may expire, as the form says")
    func expiry() async throws {
        try await withGateway { gateway in
            func upload(_ fields: [(String, String)]) async throws -> GatewayFixture.Reply {
                let parts = fields.map {
                    "--B\r\nContent-Disposition: form-data; name=\"\($0.0)\"\r\n\r\n\($0.1)\r\n"
                }
                return try await gateway.send(
                    "POST", "/v1/files", headers: Self.headers, body: Array(parts.joined().utf8) + Self.form([1]))
            }
            let anchor = "expires_after[anchor]"
            let seconds = "expires_after[seconds]"
            let kept = try await upload([(anchor, "created_at"), (seconds, "3600"), ("extra", "x")])
            #expect(kept.status == 200)
            #expect(try kept.json["expires_at"] == 1_700_003_600)
            #expect(try await upload([]).json["expires_at"] == .null)
            let bad = [
                ([(anchor, "created_at")], seconds), ([(seconds, "3600")], anchor),
                ([(anchor, "now"), (seconds, "3600")], anchor), ([(anchor, "created_at"), (seconds, "10")], seconds),
                ([(anchor, "created_at"), (seconds, "soon")], seconds),
            ]
            for (fields, parameter) in bad {
                let reply = try await upload(fields)
                #expect(reply.status == 400)
                #expect(try reply.json["error"]?["param"]?.string == parameter)
            }
        }
    }

    @Test("a truncated upload is 400 and keeps nothing")
    func truncated() async throws {
        try await withGateway { gateway in
            let body = Self.form(Array(repeating: 65, count: 100_000))
            // The body is whole by its length but its form is not.
            let cut = try await gateway.send(
                "POST", "/v1/files", headers: Self.headers, body: Array(body.prefix(50_000)))
            #expect(cut.status == 400)
            #expect(try cut.json["error"]?["code"] == "truncated_upload")
            // The client stops in the middle of what it announced.
            let socket = try await TestSocket(port: gateway.port)
            try await socket.send(gateway.head("POST", "/v1/files", headers: Self.headers, length: body.count))
            try await socket.send(Array(body.prefix(50_000)))
            socket.shutdownWriting()
            let reply = String(decoding: try await socket.receiveAll(), as: UTF8.self)
            #expect(reply.hasPrefix("HTTP/1.1 400"))
            #expect(reply.contains("truncated_upload"))
            #expect(gateway.store.fileCount(tenant: "acme") == 0)
        }
    }

    @Test("an upload above the limit is 413, announced or not, and keeps nothing")
    func tooLarge() async throws {
        try await withGateway(configure: { $0.maximumUploadSize = 100_000 }) { gateway in
            for size in [150_000, 400_000] {
                let reply = try await gateway.send(
                    "POST", "/v1/files", headers: Self.headers, body: Self.form(Array(repeating: 65, count: size)))
                #expect(reply.status == 413)
                #expect(reply.text.contains("the limit of 1"))
            }
            #expect(gateway.store.fileCount(tenant: "acme") == 0)
            _ = try await Self.upload(gateway, Array(repeating: 65, count: 100_000))
        }
    }

    @Test("a form that lacks something is 400")
    func badForms() async throws {
        try await withGateway { gateway in
            let bodies: [([UInt8], [String: String])] = [
                (Self.form([1], purpose: nil), Self.headers), (Self.form([1], purpose: "evil"), Self.headers),
                (Self.form([1], filename: ""), Self.headers), (Array("--B--\r\n".utf8), Self.headers),
                (Self.form([1]), ["Content-Type": "application/json"]), (Array("{}".utf8), [:]),
            ]
            for (body, headers) in bodies {
                let reply = try await gateway.send("POST", "/v1/files", headers: headers, body: body)
                #expect(reply.status == 400)
                #expect(try reply.json["error"]?["message"]?.string?.isEmpty == false)
            }
            #expect(gateway.store.fileCount(tenant: "acme") == 0)
        }
    }
}
