import Foundation
import GatewayServer
import Testing
import WireProtocols

struct VectorStoreTests {
    @Test("a vector store is made, listed, filled, searched and deleted")
    func lifecycle() async throws {
        try await withGateway { gateway in
            let file = try #require(try await FileTests.upload(gateway, [1, 2, 3])["id"]?.string)
            let store = try await gateway.post(
                "/v1/vector_stores", ["name": "Handbook", "metadata": ["team": "hr"], "file_ids": [.string(file)]]
            ).json
            #expect(store["object"] == "vector_store")
            #expect(store["metadata"] == ["team": "hr"])
            #expect(store["status"] == "completed")
            #expect(store["file_counts"]?["total"] == 1)
            let id = try #require(store["id"]?.string)
            #expect(try await gateway.get("/v1/vector_stores/\(id)").json["name"] == "Handbook")
            #expect(try await gateway.get("/v1/vector_stores").json["data"]?.array?.count == 1)

            let attached = try await gateway.post(
                "/v1/vector_stores/\(id)/files",
                [
                    "file_id": .string(file), "attributes": ["year": 2026, "public": true],
                    "chunking_strategy": [
                        "type": "static", "static": ["max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20],
                    ],
                ])
            #expect(attached.status == 200)
            let attachedJSON = try attached.json
            #expect(attachedJSON["object"] == "vector_store.file")
            #expect(attachedJSON["status"] == "completed")
            #expect(attachedJSON["attributes"] == ["year": 2026, "public": true])
            #expect(attachedJSON["chunking_strategy"]?["static"]?["max_chunk_size_tokens"] == 100)
            #expect(try await gateway.get("/v1/vector_stores/\(id)/files/\(file)").status == 200)
            let listed = try await gateway.get("/v1/vector_stores/\(id)/files?filter=completed").json
            #expect(listed["data"]?.array?.count == 1)
            #expect(try await gateway.get("/v1/vector_stores/\(id)/files?filter=failed").json["data"] == [])

            gateway.store.setResults([FakeStore.result("Flights are economy."), FakeStore.result("Low.", score: 0.1)])
            let search = try await gateway.post(
                "/v1/vector_stores/\(id)/search",
                ["query": "flights", "max_num_results": 5, "ranking_options": ["score_threshold": 0.5]]
            ).json
            #expect(search["object"] == "vector_store.search_results.page")
            #expect(search["search_query"] == ["flights"])
            #expect(search["data"]?.array?.count == 1)
            #expect(search["data"]?[0]?["content"] == [["type": "text", "text": "Flights are economy."]])
            #expect(search["data"]?[0]?["score"] == 0.9)
            #expect(gateway.store.searches.last?.maxResults == 5)
            let several = try await gateway.post("/v1/vector_stores/\(id)/search", ["query": ["a", "b"]])
            #expect(several.status == 200)
            #expect(gateway.store.searches.last?.queries == ["a", "b"])

            #expect(try await gateway.delete("/v1/vector_stores/\(id)/files/\(file)").json["deleted"] == true)
            let rival = gateway.rivalKey
            #expect(try await gateway.get("/v1/vector_stores/\(id)", key: rival).status == 404)
            #expect(try await gateway.post("/v1/vector_stores/\(id)/search", ["query": "x"], key: rival).status == 404)
            #expect(try await gateway.delete("/v1/vector_stores/\(id)").json["object"] == "vector_store.deleted")
            #expect(try await gateway.get("/v1/vector_stores/\(id)").status == 404)
        }
    }

    @Test("how long a vector store lives and how its first files are cut reach the store and come back")
    func policies() async throws {
        try await withGateway { gateway in
            let store = try await gateway.post(
                "/v1/vector_stores",
                [
                    "expires_after": ["anchor": "last_active_at", "days": 7],
                    "chunking_strategy": [
                        "type": "static", "static": ["max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20],
                    ],
                ]
            ).json
            #expect(store["expires_after"] == ["anchor": "last_active_at", "days": 7])
            #expect(store["expires_at"]?.integer == 1_700_000_000 + 7 * 86_400)
            let created = try #require(gateway.store.created.last)
            #expect(created.expiresAfterDays == 7)
            #expect(created.chunking.maxChunkTokens == 100 && created.chunking.overlapTokens == 20)
            let plain = try await gateway.post(
                "/v1/vector_stores", ["expires_after": nil, "chunking_strategy": ["type": "auto"]]
            ).json
            #expect(plain["expires_after"] == .null && plain["expires_at"] == .null)
            #expect(gateway.store.created.last?.hasChunking == false)
        }
    }

    @Test("a file is attached as a version of a document, and found by it")
    func documents() async throws {
        try await withGateway { gateway in
            let file = try #require(try await FileTests.upload(gateway, [1, 2, 3])["id"]?.string)
            let id = try #require(try await gateway.post("/v1/vector_stores", [:]).json["id"]?.string)
            let attached = try await gateway.post(
                "/v1/vector_stores/\(id)/files",
                ["file_id": .string(file), "document_id": "docs/leave.md", "owns_file": true]
            ).json
            #expect(attached["document_id"] == "docs/leave.md" && attached["owns_file"] == true)
            #expect(attached["sha256"] == "sha-of-file" && attached["indexed_chunks"] == 3)
            let path = "/v1/vector_stores/\(id)/files?document_id="
            #expect(try await gateway.get(path + "docs%2Fleave.md").json["data"]?.array?.count == 1)
            #expect(try await gateway.get(path + "other").json["data"] == [])
            let other = try #require(try await FileTests.upload(gateway, [4])["id"]?.string)
            let plain = try await gateway.post("/v1/vector_stores/\(id)/files", ["file_id": .string(other)]).json
            #expect(plain["document_id"] == .null && plain["owns_file"] == false)
            for (body, parameter): (JSONValue, String) in [
                (["file_id": .string(file), "document_id": 5], "document_id"),
                (
                    ["file_id": .string(file), "document_id": .string(String(repeating: "x", count: 1025))],
                    "document_id"
                ),
                (["file_id": .string(file), "owns_file": "yes"], "owns_file"),
            ] {
                let reply = try await gateway.post("/v1/vector_stores/\(id)/files", body)
                #expect(reply.status == 400)
                #expect(try reply.json["error"]?["param"]?.string == parameter)
            }
        }
    }

    @Test("bad requests are 400 and name the parameter")
    func bad() async throws {
        try await withGateway { gateway in
            let store = try await gateway.post("/v1/vector_stores", [:]).json
            let id = try #require(store["id"]?.string)
            let cases: [(String, JSONValue, String)] = [
                ("", ["name": 5], "name"), ("", ["file_ids": "x"], "file_ids"), ("", ["file_ids": [1]], "file_ids"),
                ("", ["metadata": ["a": 1]], "metadata"),
                ("", ["expires_after": 7], "expires_after"),
                ("", ["expires_after": ["anchor": "created_at", "days": 7]], "expires_after.anchor"),
                ("", ["expires_after": ["anchor": "last_active_at"]], "expires_after.days"),
                ("", ["expires_after": ["anchor": "last_active_at", "days": 0]], "expires_after.days"),
                ("", ["chunking_strategy": ["type": "x"]], "chunking_strategy.type"),
                ("/\(id)/files", [:], "file_id"),
                ("/\(id)/files", ["file_id": "f", "attributes": ["a": [:]]], "attributes"),
                ("/\(id)/files", ["file_id": "f", "chunking_strategy": ["type": "x"]], "chunking_strategy.type"),
                ("/\(id)/search", [:], "query"), ("/\(id)/search", ["query": ""], "query"),
                ("/\(id)/search", ["query": "x", "max_num_results": 51], "max_num_results"),
                ("/\(id)/search", ["query": "x", "filters": [:]], "filters"),
                (
                    "/\(id)/search", ["query": "x", "ranking_options": ["score_threshold": 2]],
                    "ranking_options.score_threshold"
                ),
            ]
            for (path, body, parameter) in cases {
                let reply = try await gateway.post("/v1/vector_stores\(path)", body)
                #expect(reply.status == 400, "\(path) \(body.text)")
                #expect(try reply.json["error"]?["param"]?.string == parameter)
            }
            let unknown = try await gateway.post("/v1/vector_stores/\(id)/files", ["file_id": "file-none"])
            #expect(unknown.status == 404)
        }
    }
}
