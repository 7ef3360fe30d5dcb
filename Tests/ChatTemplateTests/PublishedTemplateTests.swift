import ChatTemplate
import Foundation
import Testing

/// Templates as models are published with them (Tests/Fixtures/templates/generate.py).
@Suite("Published templates")
struct PublishedTemplateTests {
    private static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Fixtures/templates")

    private static func source(_ name: String) throws -> String {
        String(decoding: try Data(contentsOf: directory.appendingPathComponent(name)), as: UTF8.self)
    }

    private static func fixture() throws -> JinjaObject {
        let root = try JinjaValue(json: try source("cases.json"))
        guard case .object(let object) = root else { throw CocoaError(.coderInvalidValue) }
        return object
    }

    @Test("every conversation is rendered as Jinja2 renders it, or refused where Jinja2 fails")
    func cases() throws {
        let fixture = try Self.fixture()
        guard case .int(let now) = fixture["now"], case .object(let chats) = fixture["chats"],
            case .object(let sets) = fixture["variables"], case .array(let cases) = fixture["cases"]
        else { throw CocoaError(.coderInvalidValue) }
        var rendered = 0
        for case .object(let item) in cases {
            guard case .string(let name) = item["template"], case .string(let chat) = item["chat"],
                case .string(let set) = item["variables"], case .array(let messages) = chats[chat],
                case .object(let extra) = sets[set]
            else { throw CocoaError(.coderInvalidValue) }
            var variables: [String: JinjaValue] = ["bos_token": "<s>", "eos_token": "</s>"]
            for key in extra.keys where key != "add_generation_prompt" { variables[key] = extra[key] }
            let prompts = extra["add_generation_prompt"] != .bool(false)
            let text = try? ChatTemplate(source: try Self.source(name)).render(
                messages: messages, addGenerationPrompt: prompts, variables: variables, secondsSince1970: Double(now))
            let expected: String? = if case .string(let text) = item["expected"] { text } else { nil }
            #expect(text.map { Array($0.utf8) } == expected.map { Array($0.utf8) }, "\(name), \(chat), \(set)")
            if text != nil { rendered += 1 }
        }
        #expect(cases.count >= 300)
        #expect(rendered >= 200)
    }

    @Test(
        "the form of answers is read off the template",
        arguments: [
            ("Qwen-Qwen2.5-7B-Instruct.jinja", ChatFormat(reasons: false, toolCalls: .tagged)),
            ("Qwen-Qwen3-0.6B.jinja", ChatFormat(reasons: true, toolCalls: .tagged)),
            ("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja", ChatFormat(reasons: true, toolCalls: .deepSeek)),
            ("mistralai-Mistral-Nemo-Instruct-2407.jinja", ChatFormat(reasons: false, toolCalls: .mistral)),
            ("microsoft-Phi-3.5-mini-instruct.jinja", ChatFormat(reasons: false, toolCalls: .none)),
        ])
    func formats(name: String, format: ChatFormat) throws {
        #expect(ChatFormat(template: try Self.source(name)) == format)
    }

    @Test(
        "what messages say is marked, whatever the template does with it, and what the template says is not",
        arguments: [
            "Qwen-Qwen2.5-7B-Instruct.jinja", "Qwen-Qwen3-0.6B.jinja", "Qwen-QwQ-32B.jinja",
            "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja", "microsoft-Phi-3.5-mini-instruct.jinja",
        ])
    func marks(name: String) throws {
        let words = ["zwq1", "zwq2", "zwq3", "zwq4"]
        let messages: [JinjaValue] = [
            ["role": "system", "content": " zwq1 "], ["role": "user", "content": "zwq2"],
            ["role": "assistant", "content": "<think>\nx\n</think>\n\nzwq3"], ["role": "user", "content": "  zwq4\n"],
        ]
        let prompt = try ChatTemplate(source: try Self.source(name)).prompt(
            messages: messages, addGenerationPrompt: true, modelVariables: ["bos_token": "<s>", "eos_token": "</s>"])
        let bytes = Array(prompt.text.utf8)
        let untrusted = prompt.untrusted.map { String(decoding: bytes[$0], as: UTF8.self) }
        for word in words { #expect(untrusted.contains { $0.contains(word) }, "\(word)") }
        var trusted = bytes
        for range in prompt.untrusted.reversed() { trusted.removeSubrange(range) }
        let template = String(decoding: trusted, as: UTF8.self)
        for word in words { #expect(!template.contains(word)) }
        #expect(template.contains("<|im_start|>") || template.contains("<｜User｜>") || template.contains("<|user|>"))
    }

    @Test(
        "marks survive filters and methods",
        arguments: [
            ("{{ x | trim | upper }}", "A<B>"), ("{{ (' ' ~ x ~ '!').strip('! ') }}", "a<b>"),
            ("{{ x.split('<')[1] }}", "b>"), ("{{ x[::-1] }}", ">b<a"), ("{{ '%s-%d' | format(x, 3) }}", "a<b>"),
            ("{{ '{}'.format(x) }}", "a<b>"), ("{{ [x] | join }}", "a<b>"), ("{{ x | replace('a', 'c') }}", "<b>"),
            ("{{ [x, 1] }}", "'a<b>'"), ("{{ {'k': x} | tojson }}", "a<b>"), ("{{ d | tojson }}", "a<b>a<b>"),
            ("{% for k in d %}{{ k }}{% endfor %}", "a<b>"), ("{% for c in x %}{{ c }}{% endfor %}", "a<b>"),
            ("{% set y %}[{{ x }}]{% endset %}{{ y | indent }}", "a<b>"),
            ("{% macro m(v) %}{{ v }}{% endmacro %}{{ m(x) }}", "a<b>"),
            ("{{ x | first }}{{ x | last }}", "a>"), ("{{ x | center(9) }}", "a<b>"), ("{{ x * 2 }}", "a<b>a<b>"),
            ("{{ x | e }}", "a&lt;b&gt;"), ("{{ x.partition('<') | join }}", "a<b>"),
            ("{{ x | truncate(2, true, '', 0) }}", "a<"),
            ("{{ x.zfill(6) }}", "a<b>"), ("{{ x | wordwrap(2) }}", "a<b>"),
            ("{{ [d, d] | map(attribute='a<b>') | list | tojson }}", "a<b>a<b>"),
            ("{{ 'a<b>' }}", ""), ("{{ x is string }}{{ x | length }}", ""),
        ])
    func survival(source: String, expected: String) throws {
        let prompt = try ChatTemplate(source: source).prompt(
            messages: [], addGenerationPrompt: true, variables: ["x": "a<b>", "d": ["a<b>": "a<b>"]])
        let bytes = Array(prompt.text.utf8)
        #expect(prompt.untrusted.map { String(decoding: bytes[$0], as: UTF8.self) }.joined() == expected)
    }
}
