import ChatTemplate
import Testing

@Suite("ChatTemplate")
struct ChatTemplateTests {
    @Test("renders as Jinja2 does, set up as transformers sets it up")
    func cases() throws {
        let fixture = try ChatTemplateFixture.load()
        #expect(fixture.cases.count >= 90)
        for item in fixture.cases {
            do {
                let template = try ChatTemplate(source: item.template)
                let text = try template.render(variables: item.variables, secondsSince1970: fixture.now)
                #expect(text == item.expected, "\(item.name)")
            } catch {
                Issue.record(error, "\(item.name)")
            }
        }
    }

    @Test("fails where Jinja2 fails, and gives the template's own words when it raises")
    func errors() throws {
        let fixture = try ChatTemplateFixture.load()
        #expect(fixture.errors.count >= 10)
        for item in fixture.errors {
            #expect("\(item.name)") {
                try ChatTemplate(source: item.template).render(variables: item.variables)
            } throws: { error in
                guard let error = error as? ChatTemplateError else { return false }
                guard let raised = item.raised else {
                    return [.evaluation, .limitExceeded].contains(error.code) && error.line != nil
                }
                return error.code == .raised && error.message == raised && error.line != nil
            }
        }
    }

    @Test("messages, the prompt switch and variables reach the template; tools and documents are none by default")
    func render() throws {
        let template = try ChatTemplate(
            source: "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
                + "{% if add_generation_prompt %}{{ bos_token }}{% endif %}{{ tools }}{{ documents is none }}")
        let messages: [JinjaValue] = [["role": "user", "content": "Hi"]]
        #expect(
            try template.render(messages: messages, addGenerationPrompt: true, variables: ["bos_token": "<s>"])
                == "user:Hi;<s>NoneTrue")
        #expect(
            try template.render(messages: [], addGenerationPrompt: false, variables: ["tools": [1]]) == "[1]True")
    }

    @Test(
        "an invalid template is refused with its line",
        arguments: [
            ("a\n{{ 1 + }}", 2), ("{% if x %}\n\nno end", 3), ("{% frobnicate %}", 1), ("\n{{ x | frobnicate }}", 2),
            ("{{ x is frobnicated }}", 1), ("{{ 'open }}", 1), ("{{ (1, 2 }}", 1), ("{# open", 1), ("{% raw %}\n", 1),
            ("{{ a b }}", 1), ("{% endif %}", 1), ("{% for x y %}{% endfor %}", 1),
            ("\n\n{{ 99999999999999999999 }}", 3),
            ("{% break %}", 1), ("{% include 'x' %}", 1), ("{{ ? }}", 1), ("{{ '\\ud800' }}", 1), ("{{ }", 1),
        ])
    func syntax(source: String, line: Int) {
        #expect { try ChatTemplate(source: source) } throws: { error in
            guard let error = error as? ChatTemplateError else { return false }
            return error.code == .syntax && error.line == line
        }
    }

    @Test(
        "a template that would run away is stopped",
        arguments: [
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% set n = namespace(s='x') %}{% for i in range(64) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
            "{% set n = namespace(s=[1]) %}{% for i in range(64) %}{% set n.s = n.s + n.s %}{% endfor %}",
            "{{ 'x' * 10000000000 }}", "{{ 'xxxx' * 9223372036854775807 }}", "{{ [1] * 10000000000 }}",
            "{{ range(10000000) }}", "{{ ('a' * 10000) | replace('a', 'b' * 10000) }}",
            "{% for i in range(10000) %}{{ 'x' * 10000 }}{% endfor %}", "{{ 'x'.zfill(9000000000) }}",
            "{{ ('x\\n' * 100000) | indent(100000) }}",
        ])
    func limits(source: String) throws {
        var limits = ChatTemplateLimits()
        limits.maxSteps = 200_000
        let template = try ChatTemplate(source: source, limits: limits)
        #expect { try template.render(variables: [:]) } throws: { ($0 as? ChatTemplateError)?.code == .limitExceeded }
    }

    @Test(
        "deep nesting and long chains are refused, not a stack overflow",
        arguments: [
            String(repeating: "(", count: 5000),
            "{{ " + String(repeating: "(", count: 5000) + "1" + String(repeating: ")", count: 5000) + " }}",
            "{{ " + String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000) + " }}",
            "{{ " + String(repeating: "{1: ", count: 5000) + "1" + String(repeating: "}", count: 5000) + " }}",
            "{% set " + String(repeating: "(", count: 5000) + "a" + String(repeating: ")", count: 5000) + " = 1 %}",
            "{{ " + String(repeating: "not ", count: 5000) + "x }}",
            "{{ " + String(repeating: "-", count: 5000) + "1 }}",
            "{{ 1" + String(repeating: " + 1", count: 100_000) + " }}",
            "{{ a" + String(repeating: ".a", count: 100_000) + " }}",
            "{{ a" + String(repeating: " | trim", count: 100_000) + " }}",
            "{{ " + String(repeating: "a if b else ", count: 5000) + "c }}",
            String(repeating: "{% if a %}", count: 5000),
        ])
    func nesting(source: String) throws {
        if !source.hasPrefix("{") {
            #expect(try ChatTemplate(source: source).render(variables: [:]) == source)
            return
        }
        #expect { try ChatTemplate(source: source) } throws: { ($0 as? ChatTemplateError)?.code == .limitExceeded }
    }

    @Test("integers that do not fit are an error, not a trap")
    func overflow() throws {
        for source in [
            "{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}", "{{ 3037000500 * 3037000500 }}",
            "{{ 10 ** 100 }}", "{{ (-9223372036854775807 - 1) // -1 }}", "{{ -(-9223372036854775807 - 1) }}",
        ] {
            #expect("\(source)") { try ChatTemplate(source: source).render(variables: [:]) } throws: {
                ($0 as? ChatTemplateError)?.code == .evaluation
            }
        }
        #expect(try ChatTemplate(source: "{{ 1 ** 9223372036854775807 }}").render(variables: [:]) == "1")
        #expect(try ChatTemplate(source: "{{ [1][9223372036854775807:] }}").render(variables: [:]) == "[]")
        #expect(try ChatTemplate(source: "{{ 1e300 | int }}").render(variables: [:]) == "0")
    }

    @Test("mutated templates are rendered or refused, and never crash")
    func mutations() throws {
        let sources = try ChatTemplateFixture.load().cases.map(\.template)
        let parts = [
            "{{", "}}", "{%", "%}", "-", "(", ")", "[", "]", "|", ".", "'", "if", "for", "in", " ", "x", "0", ":", ",",
        ]
        var random = SplitMix64(state: 11)
        var limits = ChatTemplateLimits()
        limits.maxSteps = 20_000
        limits.maxOutputBytes = 1 << 16
        var rendered = 0
        for _ in 0..<3000 {
            var text = Array((sources.randomElement(using: &random) ?? "").unicodeScalars)
            for _ in 0..<Int.random(in: 1...4, using: &random) where !text.isEmpty {
                let at = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text.remove(at: at)
                case 1: text.insert(contentsOf: (parts.randomElement(using: &random) ?? "").unicodeScalars, at: at)
                default: text.removeSubrange(at..<min(at + 9, text.count))
                }
            }
            let source = String(String.UnicodeScalarView(text))
            do {
                _ = try ChatTemplate(source: source, limits: limits).render(
                    messages: [["role": "user", "content": "Hi"]], addGenerationPrompt: true)
                rendered += 1
            } catch is ChatTemplateError {}
        }
        #expect(rendered > 0)
    }
}

/// A small seeded generator: the same mutations in every run.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}
