import GatewayServer
import Testing
import Wire
import WireProtocols

@Suite("Reasoning and tool calls")
struct ToolCallTests {
    private static let hello: JSONValue = [["role": "user", "content": "Hi"]]
    private static let tools: JSONValue = [
        ["type": "function", "function": ["name": "f", "parameters": ["type": "object"]]]
    ]

    /// Thinks, speaks, calls twice.
    private static let script: FakeHead.Script = { request, writer in
        try await writer.write(FakeHead.started(request))
        try await writer.write(event { $0.reasoning = "Hm, " })
        try await writer.write(event { $0.reasoning = "yes." })
        try await writer.write(event { _ in })
        try await writer.write(event { $0.text = "Ok." })
        for index in 0..<2 {
            try await writer.write(
                event { delta in
                    var call = Fathom_Shard_V1_ToolCall()
                    call.index = UInt32(index)
                    call.id = "call_\(index)"
                    call.name = "f"
                    call.arguments = "{\"a\": \(index)}"
                    delta.toolCalls = [call]
                })
        }
        var last = FakeHead.finished(7, request, reason: .toolCalls)
        last.finished.reasoningTokens = 3
        try await writer.write(last)
    }

    private static func event(_ change: (inout Fathom_Shard_V1_Delta) -> Void) -> Fathom_Shard_V1_GenerateEvent {
        var delta = Fathom_Shard_V1_Delta()
        change(&delta)
        delta.tokenIds = [1]
        var event = Fathom_Shard_V1_GenerateEvent()
        event.delta = delta
        return event
    }

    @Test("a whole answer has reasoning_content, tool_calls and the finish reason tool_calls")
    func whole() async throws {
        try await withGateway(script: Self.script) { gateway in
            let reply = try await gateway.post(
                "/v1/chat/completions", ["model": "tiny-instruct", "messages": Self.hello, "tools": Self.tools])
            let choice = try #require(try reply.json["choices"]?[0])
            let message = try #require(choice["message"])
            #expect(message["reasoning_content"] == "Hm, yes.")
            #expect(message["content"] == "Ok.")
            #expect(
                message["tool_calls"]?[0] == [
                    "id": "call_0", "type": "function", "function": ["name": "f", "arguments": "{\"a\": 0}"],
                ])
            #expect(message["tool_calls"]?.array?.count == 2)
            #expect(choice["finish_reason"] == "tool_calls")
            #expect(try reply.json["usage"]?["completion_tokens_details"] == ["reasoning_tokens": 3])
        }
    }

    @Test("a stream has the same in deltas, with the index of each call and no empty chunks")
    func stream() async throws {
        try await withGateway(script: Self.script) { gateway in
            let reply = try await gateway.post(
                "/v1/chat/completions",
                ["model": "tiny-instruct", "messages": Self.hello, "tools": Self.tools, "stream": true])
            let choices = try reply.chunks.compactMap { $0["choices"]?[0] }
            let deltas = choices.compactMap { $0["delta"] }
            #expect(deltas.compactMap { $0["reasoning_content"]?.string } == ["Hm, ", "yes."])
            #expect(deltas.compactMap { $0["content"]?.string }.joined() == "Ok.")
            let calls = deltas.compactMap { $0["tool_calls"]?[0] }
            #expect(calls.compactMap { $0["index"]?.integer } == [0, 1])
            #expect(calls.compactMap { $0["id"]?.string } == ["call_0", "call_1"])
            #expect(calls.allSatisfy { $0["type"] == "function" && $0["function"]?["name"] == "f" })
            #expect(calls.last?["function"]?["arguments"] == "{\"a\": 1}")
            #expect(choices.last?["finish_reason"] == "tool_calls")
            // The role, two pieces of reasoning, text, two calls, the end.
            #expect(choices.count == 7)
        }
    }

    @Test("content is null when there are calls only")
    func callsOnly() async throws {
        let script: FakeHead.Script = { request, writer in
            try await writer.write(FakeHead.started(request))
            try await writer.write(
                Self.event { delta in
                    var call = Fathom_Shard_V1_ToolCall()
                    call.id = "call_0"
                    call.name = "f"
                    call.arguments = "{}"
                    delta.toolCalls = [call]
                })
            try await writer.write(FakeHead.finished(1, request, reason: .toolCalls))
        }
        try await withGateway(script: script) { gateway in
            let reply = try await gateway.post(
                "/v1/chat/completions", ["model": "tiny-instruct", "messages": Self.hello, "tools": Self.tools])
            let message = try #require(try reply.json["choices"]?[0]?["message"])
            #expect(message["content"] == .null)
            #expect(message["reasoning_content"] == nil)
        }
    }

    @Test("tools, calls, reasoning and thinking switches reach the head")
    func upstream() async throws {
        try await withGateway { gateway in
            let calls: JSONValue = [["id": "1", "type": "function", "function": ["name": "f", "arguments": "{}"]]]
            _ = try await gateway.post(
                "/v1/chat/completions",
                [
                    "model": "tiny-instruct", "tools": Self.tools, "parallel_tool_calls": false, "tool_choice": "auto",
                    "reasoning_effort": "low", "chat_template_kwargs": ["enable_thinking": false, "x": [1]],
                    "messages": [
                        ["role": "user", "content": "Hi"],
                        ["role": "assistant", "content": nil, "tool_calls": calls, "reasoning_content": "Hm"],
                        ["role": "tool", "tool_call_id": "1", "content": "3"],
                    ],
                ])
            let chat = try #require(gateway.head.seen.requests.last).prompt.chat
            #expect(try JSONParser.parse(chat.toolsJson) == Self.tools)
            #expect(chat.singleToolCall)
            #expect(
                try JSONParser.parse(chat.templateVariablesJson)
                    == ["reasoning_effort": "low", "enable_thinking": false, "thinking": true, "x": [1]])
            #expect(try JSONParser.parse(chat.messages[1].toolCallsJson) == calls)
            #expect(chat.messages[1].reasoningContent == "Hm")
            #expect(chat.messages[2].toolCallID == "1")
            _ = try await gateway.post(
                "/v1/chat/completions",
                ["model": "tiny-instruct", "tools": Self.tools, "tool_choice": "none", "messages": Self.hello])
            #expect(gateway.head.seen.requests.last?.prompt.chat.toolsJson == "")
        }
    }

    @Test("what cannot be done is refused, naming the member")
    func refusals() async throws {
        try await withGateway { gateway in
            let function: JSONValue = ["type": "function", "function": ["name": "f"]]
            let cases: [([String: JSONValue], String)] = [
                (["tool_choice": "required", "tools": Self.tools], "tool_choice"),
                (["tool_choice": function, "tools": Self.tools], "tool_choice"),
                (["tool_choice": "sometimes", "tools": Self.tools], "tool_choice"),
                (["tool_choice": 1, "tools": Self.tools], "tool_choice"),
                (["tool_choice": "required"], "tool_choice"),
                (["parallel_tool_calls": "no"], "parallel_tool_calls"),
                (["reasoning_effort": "extreme"], "reasoning_effort"),
                (["thinking": ["type": "maybe"]], "thinking.type"),
                (["enable_thinking": "yes"], "enable_thinking"),
                (["chat_template_kwargs": []], "chat_template_kwargs"),
                (["chat_template_kwargs": ["messages": []]], "chat_template_kwargs"),
                (["chat_template_kwargs": ["a b": 1]], "chat_template_kwargs"),
                (
                    ["chat_template_kwargs": ["x": .string(String(repeating: "x", count: 70_000))]],
                    "chat_template_kwargs"
                ),
            ]
            for (members, parameter) in cases {
                var body = JSONObject()
                body["model"] = "tiny-instruct"
                body["messages"] = Self.hello
                for (name, value) in members { body[name] = value }
                let reply = try await gateway.post("/v1/chat/completions", .object(body))
                #expect(reply.status == 400, "\(members.keys)")
                #expect(try reply.json["error"]?["param"]?.string == parameter)
            }
            let badCall: JSONValue = [["role": "assistant", "tool_calls": [["id": "1"]]]]
            let reply = try await gateway.post("/v1/chat/completions", ["model": "tiny-instruct", "messages": badCall])
            #expect(try reply.json["error"]?["param"]?.string == "messages[0].tool_calls[0].function")
        }
    }

    @Test("answers that differ in a thinking switch, reasoning or parallel calls are not taken for each other")
    func cacheKeys() throws {
        func key(_ change: (inout Fathom_Shard_V1_ChatPrompt) -> Void) -> CacheKey {
            var request = Fathom_Shard_V1_GenerateRequest()
            request.prompt.chat.messages = [Fathom_Shard_V1_ChatMessage()]
            change(&request.prompt.chat)
            return CacheKey(namespace: [1], kind: "chat", modelDigest: "d", requests: [request], context: [])
        }
        let keys = [
            key { _ in }, key { $0.singleToolCall = true }, key { $0.templateVariablesJson = "{\"thinking\":true}" },
            key { $0.toolsJson = "[]" }, key { $0.messages[0].reasoningContent = "x" },
            key { $0.messages[0].content = "x" },
        ]
        #expect(Set(keys).count == keys.count)
    }
}
