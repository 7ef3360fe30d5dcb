import ChatTemplate
import Engine
import InferenceCore
import ShardServer
import Testing
import Wire
import WireProtocols

/// Chats through the head's prompt and output, without an engine between.
@Suite struct ChatAnswerTests {
    private static let template = """
        {% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.arguments | tojson }}</tool_call>{% endfor %}
        {% endfor %}{{ tools | length if tools else 0 }}{{ reasoning_effort }}<assistant>{% if thinking %}<think>
        {% endif %}
        """
    private static let tools = #"[{"type": "function", "function": {"name": "f", "parameters": {}}}]"#

    private static func model(_ source: String = template, strings: [String] = []) throws -> ServedModel {
        ServedModel(
            name: "fake", digest: "digest", architecture: "fake", tokenizer: ByteTokenizer(strings: strings),
            chatTemplate: try ChatTemplate(source: source))
    }

    private static func prompt(
        _ change: (inout Fathom_Shard_V1_ChatPrompt) -> Void = { _ in }
    ) -> Fathom_Shard_V1_Prompt {
        var message = Fathom_Shard_V1_ChatMessage()
        message.role = "user"
        message.content = "Hi"
        var prompt = Fathom_Shard_V1_Prompt()
        prompt.chat.messages = [message]
        change(&prompt.chat)
        return prompt
    }

    private static func text(_ model: ServedModel, _ prompt: Fathom_Shard_V1_Prompt) throws -> String {
        String(
            decoding: try model.prepare(prompt, contextLimit: 100).tokenIDs.map { UInt8($0) }, as: UTF8.self)
    }

    private struct Answer: Equatable {
        var reasoning = ""
        var text = ""
        var calls: [String] = []
        var ids: [String] = []
        var reason: Fathom_Shard_V1_Finished.Reason?
        var reasoningTokens: UInt32 = 0
        var tokens = 0
    }

    /// The answer when the model generates `pieces`, one token each.
    private static func answer(
        _ pieces: [String], _ prompt: Fathom_Shard_V1_Prompt, source: String = template
    ) throws -> Answer {
        let model = try model(source, strings: pieces)
        var output = GenerationOutput(
            model: model, sampling: SamplingParameters(), stops: [],
            prompt: try model.prepare(prompt, contextLimit: 100), echo: false, endOfGeneration: [ByteTokenizer.end],
            start: .now)
        var answer = Answer()
        let tokens = pieces.indices.map { TokenID(257 + $0) } + [ByteTokenizer.end]
        for event in tokens.map({ EngineEvent.token($0, nil) }) + [.finished(.stop(ByteTokenizer.end))] {
            guard !output.isFinished else { break }
            for message in try output.messages(for: event, now: .now) {
                switch message.kind {
                case .delta(let delta):
                    answer.reasoning += delta.reasoning
                    answer.text += delta.text
                    answer.calls += delta.toolCalls.map { "\($0.index) \($0.name) \($0.arguments)" }
                    answer.ids += delta.toolCalls.map(\.id)
                    answer.tokens += delta.tokenIds.count
                case .finished(let finished):
                    answer.reason = finished.reason
                    answer.reasoningTokens = finished.reasoningTokens
                default: break
                }
            }
        }
        return answer
    }

    @Test("reasoning is told from the answer and counted, opened by the model or by the prompt")
    func reasoning() throws {
        let opened = try Self.answer(["<th", "ink>\n", "Hm", ", yes", "</think>", "\n\n", "Yes", "."], Self.prompt())
        #expect((opened.reasoning, opened.text) == ("Hm, yes", "Yes."))
        #expect(opened.reason == .stop)
        #expect(opened.reasoningTokens == 3)
        #expect(opened.tokens == 9)
        let thinking = Self.prompt { $0.templateVariablesJson = #"{"thinking": true}"# }
        let given = try Self.answer(["Hm", "</think>", "Yes"], thinking)
        #expect((given.reasoning, given.text) == ("Hm", "Yes"))
        #expect(given.reasoningTokens == 2)
    }

    @Test("a prompt that is no chat gives its answer as it is")
    func text() throws {
        var prompt = Fathom_Shard_V1_Prompt()
        prompt.text = "x"
        let answer = try Self.answer(["<think>", "a", "</think>b"], prompt)
        #expect((answer.reasoning, answer.text) == ("", "<think>a</think>b"))
    }

    @Test("tool calls have their index, an id of their own and the reason tool_calls; without tools they are text")
    func toolCalls() throws {
        let pieces = [
            "Ok.", "\n<tool", "_call>{\"name\": \"f\", \"argu", "ments\": {\"a\": 1}}", "</tool_call>",
            "<tool_call>{\"name\": \"f\"}</tool_call>",
        ]
        let answer = try Self.answer(pieces, Self.prompt { $0.toolsJson = Self.tools })
        #expect(answer.text == "Ok.")
        #expect(answer.calls == ["0 f {\"a\": 1}", "1 f {}"])
        #expect(Set(answer.ids).count == 2)
        #expect(answer.ids.allSatisfy { $0.hasPrefix("call_") && $0.count > 20 })
        #expect(answer.reason == .toolCalls)
        let plain = try Self.answer(pieces, Self.prompt())
        #expect(plain.text == pieces.joined())
        #expect(plain.reason == .stop)
        let single = try Self.answer(
            pieces,
            Self.prompt {
                $0.toolsJson = Self.tools
                $0.singleToolCall = true
            })
        #expect(single.calls == ["0 f {\"a\": 1}"])
        #expect(single.reason == .toolCalls)
        #expect(single.tokens == 5)
    }

    @Test("a call of a function that was not declared is content, and the answer ends as any other")
    func undeclared() throws {
        let pieces = ["Ok.", " <tool_call>{\"name\": \"rocket\"}", "</tool_call>"]
        let answer = try Self.answer(pieces, Self.prompt { $0.toolsJson = Self.tools })
        #expect(answer.text == pieces.joined())
        #expect(answer.calls.isEmpty)
        #expect(answer.reason == .stop)
    }

    @Test("what a template refuses is told in its own words, to the requester only")
    func refusal() throws {
        let strict = try Self.model(
            "{{ raise_exception('Roles must alternate, got ' ~ messages[0].content ~ '\\x1b[2J') }}")
        let error = #expect(throws: InferenceError.self) { try Self.text(strict, Self.prompt()) }
        #expect(error?.code == .invalidRequest)
        #expect(error?.message.contains("Roles must alternate, got Hi") == true)
        #expect(error?.message.contains("\u{1B}") == false)
        // Logs tell of causes.
        #expect(error?.cause == nil)
        let status = error?.rpcError(contextLimit: 1)
        #expect(status?.code == .invalidArgument && status?.cause == nil)
    }

    @Test(
        "a template that runs away is a fault of the request for its model, and the next request is served",
        arguments: [
            "{% set ns=namespace(l=[]) %}{% for i in range(90000) %}{% set ns.l=[ns.l] %}{% endfor %}ok",
            "{{ 'abc'|truncate(-9223372036854775807) }}",
            "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
        ])
    func runaway(source: String) throws {
        let model = try Self.model("{% if messages[0].content == 'Hi' %}" + source + "{% endif %}fine")
        let error = #expect(throws: InferenceError.self) { try Self.text(model, Self.prompt()) }
        #expect(error?.code == .invalidRequest)
        #expect(error?.message.contains("chat template") == true)
        #expect(try Self.text(model, Self.prompt { $0.messages[0].content = "x" }) == "fine")
    }

    @Test("variables and tools reach the template; arguments come as the template can use them")
    func template() throws {
        let model = try Self.model()
        let withTools = Self.prompt {
            $0.toolsJson = Self.tools
            $0.templateVariablesJson = #"{"reasoning_effort": "high"}"#
        }
        #expect(try Self.text(model, withTools).hasSuffix("1high<assistant>"))

        var call = Fathom_Shard_V1_ChatMessage()
        call.role = "assistant"
        call.toolCallsJson =
            #"[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": [1, 2.5]}"}}]"#
        let withCall = Self.prompt { $0.messages.append(call) }
        #expect(try Self.text(model, withCall).contains(#"<tool_call>{"a": [1, 2.5]}</tool_call>"#))
        // Templates that join text need text.
        let joining = try Self.model(
            "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ 'x' + c.function.arguments }}{% endfor %}{% endfor %}"
        )
        #expect(try Self.text(joining, withCall) == #"x{"a": [1, 2.5]}"#)
        var object = call
        object.toolCallsJson = #"[{"function": {"name": "f", "arguments": {"a":[1,2.5]}}}]"#
        #expect(try Self.text(joining, Self.prompt { $0.messages.append(object) }) == #"x{"a": [1, 2.5]}"#)
        // A message of calls alone has no content, unless the template would write that out.
        #expect(try Self.text(model, withCall).contains("<assistant><tool_call>"))
    }

    @Test("a template that takes no empty message, and knows no calls, gets an empty text")
    func ignorantTemplate() throws {
        let model = try Self.model("{% for m in messages %}{{ m.role + ':' + m.content + ';' }}{% endfor %}")
        var call = Fathom_Shard_V1_ChatMessage()
        call.role = "assistant"
        call.toolCallsJson = #"[{"function": {"name": "f", "arguments": "{}"}}]"#
        #expect(try Self.text(model, Self.prompt { $0.messages.append(call) }) == "user:Hi;assistant:;")
    }

    @Test("reasoning of earlier turns reaches the template")
    func earlierReasoning() throws {
        let model = try Self.model("{% for m in messages %}{{ m.reasoning_content | default('-') }}{% endfor %}")
        var message = Fathom_Shard_V1_ChatMessage()
        message.role = "assistant"
        message.reasoningContent = "Hm"
        #expect(try Self.text(model, Self.prompt { $0.messages.append(message) }) == "-Hm")
    }
}
