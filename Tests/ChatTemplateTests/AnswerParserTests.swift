import ChatTemplate
import Testing

/// Answers as models write them, cut in every way.
@Suite("AnswerParser")
struct AnswerParserTests {
    private static let thinking = ChatFormat(reasons: true, toolCalls: .tagged)

    private static func prompt(_ text: String) -> RenderedPrompt { RenderedPrompt(text: text, untrusted: []) }

    /// What a parser makes of `pieces`, neighbours of one kind joined.
    private static func parse(
        _ pieces: [String], _ format: ChatFormat, prompt: String = "", tools: Set<String> = ["f", "g"],
        parallel: Bool = true
    ) -> [AnswerPiece] {
        var parser = AnswerParser(
            format: format, prompt: Self.prompt(prompt), toolNames: tools, allowsParallelCalls: parallel)
        var result: [AnswerPiece] = []
        for piece in pieces.flatMap({ parser.append($0) }) + parser.finish() {
            switch (result.last, piece) {
            case (.content(let first), .content(let second)): result[result.count - 1] = .content(first + second)
            case (.reasoning(let first), .reasoning(let second)): result[result.count - 1] = .reasoning(first + second)
            default: result.append(piece)
            }
        }
        return result
    }

    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let format: ChatFormat
        var prompt = ""
        let text: String
        let expected: [AnswerPiece]

        init(_ name: String, _ format: ChatFormat, prompt: String = "", _ text: String, _ expected: [AnswerPiece]) {
            testDescription = name
            self.format = format
            self.prompt = prompt
            self.text = text
            self.expected = expected
        }
    }

    private static let tagged = ChatFormat(reasons: false, toolCalls: .tagged)
    private static let deepSeek = ChatFormat(reasons: true, toolCalls: .deepSeek)
    private static let llama = ChatFormat(reasons: false, toolCalls: .llama)
    private static let mistral = ChatFormat(reasons: false, toolCalls: .mistral)

    private static func call(_ name: String, _ arguments: String = "{}") -> AnswerPiece {
        .toolCall(ToolCall(name: name, arguments: arguments))
    }

    static let cases: [Case] = [
        // Reasoning.
        Case("plain", thinking, " Hi <b>\n", [.content(" Hi <b>\n")]),
        Case(
            "reasoning", thinking, "\n<think>\n a < b </thin \n</think>\n\nYes.",
            [.reasoning("a < b </thin"), .content("Yes.")]),
        Case(
            "opened by the prompt", thinking, prompt: "x<think>\n", "Hm.\n</think>\nYes",
            [.reasoning("Hm."), .content("Yes")]),
        Case(
            "opened twice", thinking, prompt: "x<think>\n", "\n<think>\nHm</think>Yes",
            [.reasoning("Hm"), .content("Yes")]),
        Case("empty reasoning", thinking, "<think>\n\n</think>\n\nYes", [.content("Yes")]),
        Case("closed by the prompt", thinking, prompt: "x</think>\n\n", "<think>Yes", [.content("<think>Yes")]),
        Case("cut off", thinking, "<think>Hm, </thi", [.reasoning("Hm, </thi")]),
        Case("tag later", thinking, "Use <think>x</think>", [.content("Use <think>x</think>")]),
        Case("half a tag", thinking, "<thi", [.content("<thi")]),
        Case("only space", thinking, " \n", [.content(" \n")]),
        Case(
            "closed without an opening", thinking, "Musing.\n</think>\n\nThen \n this.",
            [.content("Musing.\n\nThen \n this.")]),
        Case("closed at once", thinking, " </think>\n\nYes", [.content("Yes")]),
        Case("closed twice", thinking, "<think>Hm</think>\n</think>\n\nYes", [.reasoning("Hm"), .content("Yes")]),
        Case("closed at the end", thinking, "Yes.\n</think>\n", [.content("Yes.")]),
        Case(
            "closed later again", thinking, "<think>Hm</think>Yes\n </think> \nNo",
            [.reasoning("Hm"), .content("Yes\n\nNo")]),
        Case(
            "talks of the closing tag", thinking, "Write </think> here\n</think> x",
            [.content("Write </think> here\n</think> x")]),
        Case(
            "talks of both tags", thinking, "Like this:\n<think>\nx\n</think>\n\nYes",
            [.content("Like this:\n<think>\nx\n</think>\n\nYes")]),
        Case("half a closing tag", thinking, "a\n</thi", [.content("a\n</thi")]),
        Case(
            "half a closing tag after another", thinking, "<think>a</think> </thi",
            [.reasoning("a"), .content("</thi")]),
        Case("closing tag of no reasoner", tagged, "a\n</think>\nb", [.content("a\n</think>\nb")]),
        Case("no reasoner", tagged, "<think>x</think>", [.content("<think>x</think>")]),
        Case("unicode", thinking, "<think>é😀 日本</think>👨‍👩‍👧e\u{301}", [.reasoning("é😀 日本"), .content("👨‍👩‍👧e\u{301}")]),
        // Tagged calls.
        Case(
            "call", tagged,
            "Let me see. \n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, \"x\"]}}\n</tool_call>\n",
            [.content("Let me see."), call("f", "{\"a\": [1, \"x\"]}")]),
        Case(
            "two calls", tagged,
            "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>{\"arguments\":{\"b\":1.0},\"name\":\"g\"}</tool_call>",
            [call("f"), call("g", "{\"b\":1.0}")]),
        Case(
            "array in a tag", tagged,
            "<tool_call>[{\"name\":\"f\"}, {\"name\":\"g\",\"parameters\":{\"x\":null}}]</tool_call>",
            [call("f"), call("g", "{\"x\":null}")]),
        Case(
            "closing tag in a string", tagged,
            "<tool_call>{\"name\":\"f\",\"arguments\":{\"t\":\"</tool_call> \\\"\"}}</tool_call>",
            [call("f", "{\"t\":\"</tool_call> \\\"\"}")]),
        Case(
            "arguments encoded twice", tagged,
            "<tool_call>{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}</tool_call>",
            [call("f", "{\"a\": 1}")]),
        Case(
            "undeclared", tagged, "Go. <tool_call>\n{\"name\": \"launch\", \"arguments\": {}}\n</tool_call> ok",
            [.content("Go. <tool_call>\n{\"name\": \"launch\", \"arguments\": {}}\n</tool_call> ok")]),
        Case(
            "undeclared, then declared", tagged,
            "<tool_call>{\"name\":\"x\"}</tool_call>\n<tool_call>{\"name\":\"f\"}</tool_call>",
            [.content("<tool_call>{\"name\":\"x\"}</tool_call>"), call("f")]),
        Case(
            "one of an array undeclared", tagged, "<tool_call>[{\"name\":\"f\"},{\"name\":\"x\"}]</tool_call>",
            [.content("<tool_call>[{\"name\":\"f\"},{\"name\":\"x\"}]</tool_call>")]),
        Case(
            "undeclared, unended", tagged, "<tool_call>{\"name\":\"x\"}", [.content("<tool_call>{\"name\":\"x\"}")]),
        Case("no closing tag", tagged, "<tool_call>{\"name\":\"f\",\"arguments\":{}}", [call("f")]),
        Case(
            "malformed", tagged, "a <tool_call>{\"name\": f}</tool_call> b",
            [.content("a <tool_call>{\"name\": f}</tool_call> b")]),
        Case(
            "malformed, then right", tagged, "<tool_call>{}</tool_call>\n<tool_call>{\"name\":\"f\"}</tool_call>!",
            [.content("<tool_call>{}</tool_call>"), call("f"), .content("!")]),
        Case(
            "cut off in a call", tagged, "a\n<tool_call>{\"name\":\"f\",\"arg",
            [.content("a\n<tool_call>{\"name\":\"f\",\"arg")]),
        Case("half a marker", tagged, "a <tool_ca", [.content("a <tool_ca")]),
        Case(
            "arguments that are no object", tagged, "<tool_call>{\"name\":\"f\",\"arguments\":[1]}</tool_call>",
            [.content("<tool_call>{\"name\":\"f\",\"arguments\":[1]}</tool_call>")]),
        Case(
            "reasoning, text, call", thinking,
            "<think>I call <tool_call>x</tool_call></think>\n\nSee:\n<tool_call>{\"name\":\"f\"}</tool_call>",
            [.reasoning("I call <tool_call>x</tool_call>"), .content("See:"), call("f")]),
        // DeepSeek.
        Case(
            "R1", deepSeek, prompt: "<think>\n",
            "Hm</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": \"ü\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            [.reasoning("Hm"), call("f", "{\"a\": \"ü\"}"), call("g")]),
        Case(
            "V3.1", deepSeek, prompt: "</think>",
            "Sure.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": 1}<｜tool▁call▁end｜><｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            [.content("Sure."), call("f", "{\"a\": 1}"), call("g")]),
        Case(
            "DeepSeek, malformed", deepSeek, prompt: "</think>",
            "x<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": <｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            [
                .content(
                    "x<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": <｜tool▁call▁end｜><｜tool▁calls▁end｜>")
            ]),
        Case(
            "DeepSeek, undeclared", deepSeek, prompt: "</think>",
            "x<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>h<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
            [.content("x<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>h<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>")]),
        // Llama.
        Case(
            "Llama", llama, " {\"name\": \"f\", \"parameters\": {\"q\": \"a } b\"}}", [call("f", "{\"q\": \"a } b\"}")]),
        Case(
            "Llama, two", llama, "{\"name\":\"f\",\"parameters\":{}}; {\"name\":\"g\",\"parameters\":{\"a\":1}}",
            [call("f"), call("g", "{\"a\":1}")]),
        Case(
            "Llama, python tag", llama, "<|python_tag|>{\"type\":\"function\",\"name\":\"f\",\"parameters\":{}}",
            [call("f")]),
        Case("Llama, code", llama, "<|python_tag|>print(1)", [.content("<|python_tag|>print(1)")]),
        Case(
            "Llama, other JSON", llama, "{\"name\":\"zed\",\"age\":3} ok", [.content("{\"name\":\"zed\",\"age\":3} ok")]
        ),
        Case(
            "Llama, text first", llama, "See {\"name\":\"f\",\"parameters\":{}}",
            [.content("See {\"name\":\"f\",\"parameters\":{}}")]),
        Case("Llama, cut off", llama, "{\"name\":\"f\",\"par", [.content("{\"name\":\"f\",\"par")]),
        // Mistral.
        Case(
            "Mistral", mistral,
            "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": \"]\"}}, {\"name\": \"g\", \"arguments\": {}}]",
            [call("f", "{\"a\": \"]\"}"), call("g")]),
        Case(
            "Mistral, names", mistral, "ok [TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[CALL_ID]abc[ARGS]{}",
            [.content("ok"), call("f", "{\"a\": 1}"), call("g")]),
        Case(
            "Mistral, undeclared", mistral, "[TOOL_CALLS] [{\"name\": \"h\", \"arguments\": {}}]",
            [.content("[TOOL_CALLS] [{\"name\": \"h\", \"arguments\": {}}]")]),
        Case(
            "Mistral, undeclared by name", mistral, "ok [TOOL_CALLS]h[ARGS]{\"a\": 1}",
            [.content("ok [TOOL_CALLS]h[ARGS]{\"a\": 1}")]),
        Case("Mistral, malformed", mistral, "[TOOL_CALLS] nothing, really", [.content("[TOOL_CALLS] nothing, really")]),
        Case("Mistral, array of other things", mistral, "[TOOL_CALLS][1, 2] x", [.content("[TOOL_CALLS][1, 2] x")]),
    ]

    @Test("the answer's parts do not depend on how the text is cut", arguments: cases)
    func cuts(item: Case) {
        let scalars = Array(item.text.unicodeScalars).map(String.init)
        #expect(Self.parse([item.text], item.format, prompt: item.prompt) == item.expected)
        #expect(Self.parse(scalars, item.format, prompt: item.prompt) == item.expected)
        for first in 0...scalars.count {
            let two = [scalars[..<first].joined(), scalars[first...].joined()]
            #expect(Self.parse(two, item.format, prompt: item.prompt) == item.expected, "cut at \(first)")
        }
        for size in 2...7 {
            let many = stride(from: 0, to: scalars.count, by: size).map {
                scalars[$0..<min($0 + size, scalars.count)].joined()
            }
            #expect(Self.parse(many, item.format, prompt: item.prompt) == item.expected, "pieces of \(size)")
        }
    }

    @Test("without offered tools what looks like a call is content")
    func noTools() {
        let text = "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>"
        #expect(Self.parse([text], Self.tagged, tools: []) == [.content(text)])
    }

    @Test("when one call is wanted the first one ends the answer")
    func single() {
        let text = "Ok <tool_call>{\"name\":\"f\"}</tool_call><tool_call>{\"name\":\"g\"}</tool_call> more"
        let scalars = text.unicodeScalars.map(String.init)
        for pieces in [[text], scalars] {
            #expect(Self.parse(pieces, Self.tagged, parallel: false) == [.content("Ok"), Self.call("f")])
        }
    }

    @Test("a call too long becomes content, and is not held for ever")
    func tooLong() {
        let text =
            "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\""
            + String(repeating: "x", count: ToolCallParser.maxCallByteCount)
        var parser = AnswerParser(
            format: Self.tagged, prompt: Self.prompt(""), toolNames: ["f"], allowsParallelCalls: true)
        #expect(parser.append(text) == [.content(text)])
    }

    @Test("a tag at the prompt's end counts only when the template wrote it")
    func promptEnd() {
        let text = "<|user|>hi <think>"
        let written = RenderedPrompt(text: text, untrusted: [8..<18])
        var parser = AnswerParser(format: Self.thinking, prompt: written, toolNames: [], allowsParallelCalls: true)
        #expect(parser.append("Yes") == [.content("Yes")])
        #expect(Self.parse(["Yes"], Self.thinking, prompt: text) == [.reasoning("Yes")])
    }

    @Test("random mixtures of markers and text are parsed the same however they are cut, and lose nothing but markers")
    func mixtures() {
        let words = [
            "<think>", "</think>", "<tool_call>", "</tool_call>", "{\"name\":\"f\"}", "{\"name\":", " ", "\n", "a",
            "\"",
            "[TOOL_CALLS]", "[ARGS]", "{}", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
            "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>", "f", "<|python_tag|>", ";", "[", "]", "<", "é",
        ]
        var random = SplitMix64(state: 5)
        let styles: [ChatFormat.ToolCallStyle] = [.none, .tagged, .deepSeek, .llama, .mistral]
        for round in 0..<4000 {
            let format = ChatFormat(reasons: round % 3 == 0, toolCalls: styles[round % styles.count])
            let text = (0..<Int.random(in: 1...12, using: &random)).map { _ in
                words.randomElement(using: &random) ?? ""
            }.joined()
            let scalars = text.unicodeScalars.map(String.init)
            let whole = Self.parse([text], format)
            #expect(Self.parse(scalars, format) == whole, "\(text)")
            if !whole.contains(where: { if case .content = $0 { false } else { true } }), !format.reasons {
                #expect(whole == [.content(text)])
            }
        }
    }
}
