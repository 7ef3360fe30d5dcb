import Foundation
import GatewayServer
import Testing
import Wire
import WireProtocols

struct ChatTests {
    static let hello: JSONValue = [["role": "user", "content": "Hi"]]

    @Test("a chat completion has OpenAI's shape")
    func basic() async throws {
        try await withGateway { gateway in
            let reply = try await gateway.post(
                "/v1/chat/completions",
                [
                    "model": "tiny-instruct", "n": 2,
                    "messages": [
                        ["role": "developer", "content": "Be brief."],
                        [
                            "role": "user",
                            "content": [["type": "text", "text": "Hi"], ["type": "text", "text": "you"]],
                        ],
                    ],
                    "tools": [["type": "function", "function": ["name": "f", "parameters": ["type": "object"]]]],
                ])
            #expect(reply.status == 200)
            let json = try reply.json
            #expect(json["object"] == "chat.completion")
            #expect(json["choices"]?.array?.count == 2)
            #expect(json["choices"]?[1]?["message"]?["content"] == "Hello world.")
            #expect(json["choices"]?[1]?["message"]?["role"] == "assistant")
            #expect(json["usage"]?["prompt_tokens"] == 2)
            #expect(json["usage"]?["completion_tokens"] == 6)
            let chat = gateway.head.seen.requests[0].prompt.chat
            #expect(chat.messages.map(\.role) == ["system", "user"])
            #expect(chat.messages[1].content == "Hi\nyou")
            #expect(try JSONParser.parse(chat.toolsJson)[0]?["function"]?["name"] == "f")
            // No limit given: as many as the context holds.
            #expect(gateway.head.seen.requests[0].sampling.maxTokens == 2_048)
            #expect(gateway.head.seen.requests[0].sampling.temperature == 1)
        }
    }

    @Test("logprobs come with bytes and alternatives")
    func logprobs() async throws {
        try await withGateway { gateway in
            let reply = try await gateway.post(
                "/v1/chat/completions",
                ["model": "tiny-instruct", "messages": Self.hello, "logprobs": true, "top_logprobs": 2])
            let entry = try #require(try reply.json["choices"]?[0]?["logprobs"]?["content"]?[0])
            #expect(entry["token"] == "Hello")
            #expect(entry["bytes"] == [72, 101, 108, 108, 111])
            #expect(entry["top_logprobs"]?.array?.count == 2)
        }
    }

    @Test("a stream begins with the role, ends with reason, usage and [DONE]")
    func stream() async throws {
        try await withGateway { gateway in
            let reply = try await gateway.post(
                "/v1/chat/completions",
                [
                    "model": "tiny-instruct", "messages": Self.hello, "stream": true, "n": 2,
                    "stream_options": ["include_usage": true],
                ])
            #expect(reply.events.last == "[DONE]")
            #expect(reply.events.count { $0 == "[DONE]" } == 1)
            let chunks = try reply.chunks
            #expect(chunks.allSatisfy { $0["object"] == "chat.completion.chunk" })
            #expect(Set(chunks.compactMap { $0["id"]?.string }).count == 1)
            for index in 0..<2 {
                let choices = chunks.compactMap { $0["choices"]?[0] }.filter { $0["index"]?.integer == index }
                #expect(choices.first?["delta"]?["role"] == "assistant")
                #expect(choices.compactMap { $0["delta"]?["content"]?.string }.joined() == "Hello world.")
                #expect(choices.last?["finish_reason"] == "stop")
                #expect(choices.dropLast().allSatisfy { $0["finish_reason"] == .null })
            }
            #expect(chunks.last?["usage"]?["completion_tokens"] == 6)
            #expect(chunks.last?["usage"]?["prompt_tokens"] == 1)
        }
    }

    @Test("text of any kind survives the way into a stream")
    func escaping() async throws {
        let pieces = ["\"quotes\" \\ back\n", "\u{1}\u{7F}\t", "ünï 🦑", "</script>\u{2028}"]
        try await withGateway(script: FakeHead.words(pieces)) { gateway in
            let reply = try await gateway.post(
                "/v1/chat/completions", ["model": "tiny-instruct", "messages": Self.hello, "stream": true])
            let text = try reply.chunks.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }.joined()
            #expect(text == pieces.joined())
        }
    }

    @Test("a failure before the first event is a status")
    func failureBefore() async throws {
        try await withGateway { gateway in
            let cases: [(RPCErrorCase, Int, String?)] = [
                (.outOfRange, 400, "context_length_exceeded"), (.invalid, 400, nil), (.full, 429, "resource_exhausted"),
                (.unavailable, 503, "service_unavailable"), (.deadline, 504, "deadline_exceeded"),
                (.internalError, 500, "internal_error"),
            ]
            for (failure, status, code) in cases {
                gateway.head.setScript(FakeHead.fails(failure.error))
                for streams in [false, true] {
                    let reply = try await gateway.post(
                        "/v1/chat/completions",
                        ["model": "tiny-instruct", "messages": Self.hello, "stream": .bool(streams)])
                    #expect(reply.status == status)
                    let error = try reply.json["error"]
                    #expect(error?["code"]?.string == code)
                    #expect(error?["message"]?.string?.isEmpty == false)
                    #expect(error?["type"]?.string?.isEmpty == false)
                    if status == 429 { #expect(reply.headers["retry-after"] == "7") }
                    if status >= 500 { #expect(!reply.text.contains("secret detail")) }
                }
            }
        }
    }

    @Test("a prompt that is too long is told in the words that clients look for", arguments: [false, true])
    func contextLength(streams: Bool) async throws {
        try await withGateway(script: FakeHead.fails(RPCErrorCase.outOfRange.error)) { gateway in
            let bodies: [(String, JSONValue, String)] = [
                ("/v1/chat/completions", ["messages": Self.hello, "stream": .bool(streams)], "messages"),
                ("/v1/completions", ["prompt": "x", "stream": .bool(streams)], "prompt"),
            ]
            for (path, body, parameter) in bodies {
                let reply = try await gateway.post(path, body)
                #expect(reply.status == 400)
                let error = try #require(try reply.json["error"])
                #expect(error["code"] == "context_length_exceeded")
                #expect(error["param"]?.string == parameter)
                #expect(
                    error["message"]?.string == "This model's maximum context length is 2048 tokens. However, "
                        + "the prompt has 9999 tokens (context_length_exceeded). Please reduce the length.")
            }
        }
    }

    @Test("what an assistant refused comes back as its text, in a part or beside the content")
    func refusals() async throws {
        try await withGateway { gateway in
            let messages: [JSONValue] = [
                ["role": "assistant", "content": [["type": "refusal", "refusal": "No."]]],
                ["role": "assistant", "content": nil, "refusal": "No."],
                ["role": "assistant", "content": "No.", "refusal": nil],
            ]
            for message in messages {
                let reply = try await gateway.post(
                    "/v1/chat/completions",
                    ["messages": [["role": "user", "content": "Hi"], message, ["role": "user", "content": "Why?"]]])
                #expect(reply.status == 200)
                #expect(gateway.head.seen.requests.last?.prompt.chat.messages[1].content == "No.")
            }
        }
    }

    @Test("a failure in a stream is an event, and the stream still ends as it must")
    func failureWithin() async throws {
        let script = FakeHead.fails(RPCErrorCase.unavailable.error, after: ["Hel", "lo"])
        try await withGateway(script: script) { gateway in
            let reply = try await gateway.post(
                "/v1/chat/completions", ["model": "tiny-instruct", "messages": Self.hello, "stream": true])
            #expect(reply.status == 200)
            #expect(reply.events.last == "[DONE]")
            let error = try #require(try reply.chunks.last?["error"])
            #expect(error["code"] == "service_unavailable")
            let whole = try await gateway.post(
                "/v1/chat/completions", ["model": "tiny-instruct", "messages": Self.hello])
            #expect(whole.status == 503)
        }
    }

    @Test("a head that ends without its last event counts as unavailable")
    func unfinished() async throws {
        try await withGateway(script: { request, writer in try await writer.write(FakeHead.started(request)) }) {
            gateway in
            let reply = try await gateway.post(
                "/v1/chat/completions", ["model": "tiny-instruct", "messages": Self.hello])
            #expect(reply.status == 503)
        }
    }
}
