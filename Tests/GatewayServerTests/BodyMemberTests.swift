import Foundation
import GatewayServer
import Testing

struct BodyMemberTests {
    /// A request that is fine, with one more member at a place: its path, its body and the member's full name.
    private static func request(
        _ place: BodyMembers.Place, _ name: String, _ value: JSONValue, store: String
    ) -> (path: String, body: JSONValue, parameter: String) {
        func object(_ members: [(String, JSONValue)]) -> JSONValue {
            .object(JSONObject((members + [(name, value)]).map { JSONObject.Member(name: $0.0, value: $0.1) }))
        }
        let chat = "/v1/chat/completions"
        let hello: JSONValue = [["role": "user", "content": "Hi"]]
        switch place {
        case .chat: return (chat, object([("messages", hello)]), name)
        case .message:
            let message = object([("role", "user"), ("content", "Hi")])
            return (chat, ["messages": [message]], "messages[0].\(name)")
        case .thinking:
            return (chat, ["messages": hello, "thinking": object([("type", "enabled")])], "thinking.\(name)")
        case .fileSearch:
            let tool = object([("type", "file_search"), ("vector_store_ids", [.string(store)])])
            return (chat, ["messages": hello, "tools": [tool]], "tools[0].\(name)")
        case .completions: return ("/v1/completions", object([("prompt", "x")]), name)
        case .embeddings:
            return ("/v1/embeddings", object([("model", "all-minilm-l6-v2"), ("input", "x")]), name)
        case .search: return ("/v1/vector_stores/\(store)/search", object([("query", "x")]), name)
        case .rankingOptions:
            return (
                "/v1/vector_stores/\(store)/search", ["query": "x", "ranking_options": object([])],
                "ranking_options.\(name)"
            )
        }
    }

    @Test("a member that would be dropped is refused by name; null and what happens anyway are taken")
    func refused() async throws {
        try await withGateway { gateway in
            let store = try #require(try await gateway.post("/v1/vector_stores", [:]).json["id"]?.string)
            for rule in BodyMembers.refused {
                for place in rule.places {
                    for value in [.null] + rule.neutral {
                        let (path, body, _) = Self.request(place, rule.name, value, store: store)
                        #expect(
                            try await gateway.post(path, body).status == 200, "\(place) \(rule.name): \(value.text)")
                    }
                    for value in [["other": true], 0.123] as [JSONValue] {
                        let (path, body, parameter) = Self.request(place, rule.name, value, store: store)
                        let reply = try await gateway.post(path, body)
                        #expect(reply.status == 400, "\(place) \(rule.name)")
                        let error = try reply.json["error"]
                        #expect(error?["param"]?.string == parameter)
                        #expect(error?["code"] == "unsupported_parameter")
                        #expect(error?["message"]?.string?.contains("'\(parameter)'") == true)
                        #expect(error?["message"]?.string?.contains(rule.instead) != false || rule.instead.isEmpty)
                    }
                }
            }
        }
    }

    @Test("members that keep books or give hints are taken, and so are unknown ones")
    func ignored() async throws {
        try await withGateway { gateway in
            for name in BodyMembers.ignored + ["unheard_of"] {
                for value in ["text", true, ["a": "b"]] as [JSONValue] {
                    for place in [BodyMembers.Place.chat, .completions, .embeddings] {
                        let (path, body, _) = Self.request(place, name, value, store: "")
                        let reply = try await gateway.post(path, body)
                        #expect(reply.status == 200, "\(name)")
                    }
                }
            }
        }
    }

    @Test("min_tokens is kept where nothing ends an answer early, and refused elsewhere")
    func minimum() async throws {
        try await withGateway { gateway in
            let cases: [(JSONValue, Int)] = [
                (["min_tokens": 0], 200), (["min_tokens": 8], 400), (["min_tokens": 8, "ignore_eos": true], 200),
                (["min_tokens": 8.0, "ignore_eos": true, "max_tokens": 8], 200),
                (["min_tokens": 9, "ignore_eos": true, "max_tokens": 8], 400),
                (["min_tokens": 8, "ignore_eos": true, "stop": "."], 400),
                (["min_tokens": 8, "ignore_eos": true, "stop_token_ids": [1]], 400), (["min_tokens": -1], 400),
            ]
            for (members, status) in cases {
                for (path, name, value) in [
                    ("/v1/chat/completions", "messages", [["role": "user", "content": "Hi"]]),
                    ("/v1/completions", "prompt", "x"),
                ] as [(String, String, JSONValue)] {
                    var body = members.object ?? JSONObject()
                    body[name] = value
                    if status == 200 && body["max_tokens"] == nil { body["max_tokens"] = 20 }
                    let reply = try await gateway.post(path, .object(body))
                    #expect(reply.status == status, "\(path) \(members.text)")
                    if status == 400 { #expect(try reply.json["error"]?["param"] == "min_tokens") }
                }
            }
        }
    }

    @Test("the documentation names every member of the table")
    func documented() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../docs/api.md").standardizedFileURL
        let text = try String(contentsOf: path, encoding: .utf8)
        for name in BodyMembers.refused.map(\.name) + BodyMembers.ignored + ["min_tokens"] {
            #expect(text.contains("`\(name)`"), "docs/api.md does not name \(name)")
        }
    }
}
