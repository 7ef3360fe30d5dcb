import Foundation
import GatewayServer
import Testing
import WireProtocols

struct RetrievalTests {
    static let answer = ["Flights under four ", "hours are economy class", "."]

    private static func body(_ store: String, stream: Bool = false, nested: Bool = false) -> JSONValue {
        let search: JSONValue = ["vector_store_ids": [.string(store)], "max_num_results": 3]
        let tool: JSONValue =
            nested
            ? ["type": "file_search", "file_search": search]
            : ["type": "file_search", "vector_store_ids": [.string(store)], "max_num_results": 3]
        return [
            "model": "tiny-instruct", "temperature": 0, "stream": .bool(stream), "tools": [tool],
            "messages": [["role": "user", "content": "Which class may I fly?"]],
        ]
    }

    private static func makeStore(_ gateway: GatewayFixture) async throws -> String {
        gateway.store.setResults([
            FakeStore.result("All staff: flights under four hours are economy class. Keep receipts."),
            FakeStore.result("Lunch is at noon.", file: "file-2", name: "canteen.md", score: 0.4),
        ])
        return try #require(try await gateway.post("/v1/vector_stores", ["name": "h"]).json["id"]?.string)
    }

    @Test("an answer from documents carries verifiable annotations and its sources", arguments: [false, true])
    func annotations(nested: Bool) async throws {
        try await withGateway(script: FakeHead.words(Self.answer)) { gateway in
            let store = try await Self.makeStore(gateway)
            let reply = try await gateway.post("/v1/chat/completions", Self.body(store, nested: nested))
            #expect(reply.status == 200)
            let json = try reply.json
            let message = try #require(json["choices"]?[0]?["message"])
            let annotation = try #require(message["annotations"]?[0])
            #expect(annotation["type"] == "file_citation")
            let citation = try #require(annotation["file_citation"])
            #expect(citation["file_id"] == "file-1")
            #expect(citation["filename"] == "handbook.md")
            #expect(citation["quote"] == "All staff: flights under four hours are economy class.")
            #expect(citation["start_index"] == 0)
            #expect(citation["end_index"]?.integer == message["content"]?.string?.unicodeScalars.count)
            #expect(citation["chunk"]?["start_byte"] == 10)
            #expect(citation["chunk"]?["vector_store_id"] == "vs_1")
            #expect(json["fathom"]?["sources"]?.array?.count == 2)
            #expect(json["fathom"]?["sources"]?[0]?["headings"] == ["Travel"])
            #expect(gateway.store.searches.last?.queries == ["Which class may I fly?"])
            let content = try #require(gateway.head.seen.requests.last?.prompt.chat.messages.last?.content)
            #expect(content.contains("economy class"))
            #expect(content.contains("Which class may I fly?"))
        }
    }

    @Test("a long question is searched for whole, in several queries; one beyond all bounds is refused")
    func longQuestions() async throws {
        try await withGateway { gateway in
            let store = try await Self.makeStore(gateway)
            func ask(_ text: String) async throws -> GatewayFixture.Reply {
                try await gateway.post(
                    "/v1/chat/completions",
                    [
                        "messages": [["role": "user", "content": .string(text)]],
                        "tools": [["type": "file_search", "vector_store_ids": [.string(store)]]],
                    ])
            }
            let texts = [
                String(repeating: "word ", count: 2_000) + "Which class may I fly?",
                String(repeating: "x", count: 9_000),
                String(repeating: "\u{1F469}\u{200D}\u{1F467}", count: 1_000),
                "e" + String(repeating: "\u{301}", count: 5_000),
            ]
            for text in texts {
                #expect(try await ask(text).status == 200)
                let queries = try #require(gateway.store.searches.last?.queries)
                #expect(queries.joined() == text)
                #expect(queries.allSatisfy { (1...4_096).contains($0.utf8.count) } && queries.count <= 8)
            }
            #expect(gateway.store.searches[0].queries.last?.hasSuffix("Which class may I fly?") == true)
            let endless = try await ask(String(repeating: "word ", count: 10_000))
            #expect(endless.status == 400)
            #expect(try endless.json["error"]?["param"] == "messages")
            #expect(try await ask(String(repeating: " ", count: 100_000)).status == 400)
        }
    }

    @Test("in a stream the sources come first and the annotations right before the reason")
    func stream() async throws {
        try await withGateway(script: FakeHead.words(Self.answer)) { gateway in
            let store = try await Self.makeStore(gateway)
            let reply = try await gateway.post("/v1/chat/completions", Self.body(store, stream: true))
            let chunks = try reply.chunks
            #expect(chunks.first?["fathom"]?["sources"]?.array?.count == 2)
            #expect(chunks.dropFirst().allSatisfy { $0["fathom"] == nil })
            let last = try #require(chunks.last?["choices"]?[0])
            #expect(last["finish_reason"] == "stop")
            let before = try #require(chunks.dropLast().last?["choices"]?[0]?["delta"])
            #expect(before["annotations"]?[0]?["file_citation"]?["file_id"] == "file-1")
        }
    }

    @Test("another tenant's vector store is 404, before anything is generated")
    func isolation() async throws {
        try await withGateway { gateway in
            let store = try await Self.makeStore(gateway)
            let reply = try await gateway.post(
                "/v1/chat/completions", Self.body(store), key: gateway.rivalKey)
            #expect(reply.status == 404)
            #expect(gateway.head.seen.requests.isEmpty)
        }
    }

    @Test("an answer is cached for one version of its vector store")
    func cacheByVersion() async throws {
        try await withGateway(script: FakeHead.words(Self.answer)) { gateway in
            let store = try await Self.makeStore(gateway)
            let first = try await gateway.post("/v1/chat/completions", Self.body(store))
            #expect(first.headers["x-fathom-cache"] == "miss")
            let second = try await gateway.post("/v1/chat/completions", Self.body(store))
            #expect(second.headers["x-fathom-cache"] == "hit")
            #expect(try second.json["choices"] == (try first.json["choices"]))
            #expect(try second.json["fathom"] == (try first.json["fathom"]))
            gateway.store.touch(tenant: "acme")
            let third = try await gateway.post("/v1/chat/completions", Self.body(store))
            #expect(third.headers["x-fathom-cache"] == "miss")
        }
    }
}
