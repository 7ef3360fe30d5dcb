import Foundation
import GatewayServer
import Testing
import Wire

struct PrivacyTests {
    @Test("nothing private is logged, measured, or quoted in an error that is not the requester's own")
    func marker() async throws {
        let marker = "xyzzyMARKER"
        try await withGateway(script: FakeHead.words([marker, " answer"])) { gateway in
            let chat: JSONValue = [
                "model": "tiny-instruct", "messages": [["role": "user", "content": .string("prompt \(marker)")]],
            ]
            _ = try await gateway.post("/v1/chat/completions", chat)
            _ = try await gateway.post("/v1/completions", ["model": "tiny-instruct", "prompt": .string(marker)])
            _ = try await gateway.post("/v1/embeddings", ["model": "all-minilm-l6-v2", "input": .string(marker)])
            _ = try await FileTests.upload(gateway, Array(marker.utf8))
            let store = try await gateway.post("/v1/vector_stores", ["name": .string(marker)]).json["id"]?.string ?? ""
            _ = try await gateway.post("/v1/vector_stores/\(store)/search", ["query": .string(marker)])
            // Bad in every way: positions and kinds are told, never content.
            var errors: [String] = []
            for body in ["{\"\(marker)", "{\"model\":\"tiny-instruct\",\"messages\":\"\(marker)\"}", "[\"\(marker)\"]"]
            {
                errors.append(
                    try await gateway.send("POST", "/v1/chat/completions", body: Array(body.utf8)).text)
            }
            gateway.head.setScript(FakeHead.fails(RPCError(.internalError, "about \(marker)")))
            errors.append(try await gateway.post("/v1/chat/completions", chat).text)
            gateway.head.setScript(FakeHead.fails(RPCError(.unavailable, "about \(marker)"), after: ["a"]))
            errors.append(
                try await gateway.post(
                    "/v1/completions", ["model": "tiny-instruct", "prompt": "x", "stream": true]
                ).text)
            #expect(errors.allSatisfy { !$0.contains(marker) })
            let metrics = try await gateway.get("/metrics").text
            #expect(!metrics.contains(marker))
            #expect(!gateway.logs.text.contains(marker))
            #expect(!gateway.logs.text.contains(gateway.key))
            // The log did see these requests.
            #expect(gateway.logs.text.contains("tokens.completion"))
            #expect(gateway.logs.text.contains("/v1/chat/completions"))
        }
    }

    @Test("metrics count requests by route pattern and status, and tokens")
    func metrics() async throws {
        try await withGateway { gateway in
            _ = try await gateway.post("/v1/completions", ["model": "tiny-instruct", "prompt": "a b"])
            _ = try await gateway.get("/v1/files/file-unknown")
            _ = try await gateway.get("/nothing/here")
            let text = try await gateway.get("/metrics").text
            #expect(
                text.contains(
                    "fathom_gateway_requests_total{route=\"/v1/completions\",model=\"tiny-instruct\",status=\"200\"} 1")
            )
            #expect(text.contains("route=\"unmatched\",status=\"404\""))
            #expect(!text.contains("file-unknown"))
            #expect(!text.contains("/nothing/here"))
            #expect(text.contains("fathom_gateway_prompt_tokens_total{model=\"tiny-instruct\"} 2"))
            #expect(text.contains("fathom_gateway_completion_tokens_total{model=\"tiny-instruct\"} 3"))
            #expect(text.contains("fathom_gateway_time_to_first_token_seconds_count{model=\"tiny-instruct\"} 1"))
            #expect(text.contains("fathom_gateway_inter_token_seconds_count{model=\"tiny-instruct\"} 2"))
        }
    }
}
