import ChatTemplate
import Foundation
import Testing

/// Templates that want too much: values too deep to be freed, numbers at their ends, work that one step hides.
@Suite("Hostile templates")
struct HostileTemplateTests {
    /// Far more than any takes, also where every build is slow; without a bound they would take hours.
    private static let patience = Duration.seconds(60)

    private static func render(_ source: String, _ limits: ChatTemplateLimits = .init()) throws -> String {
        try ChatTemplate(source: source, limits: limits).render(
            messages: [["role": "user", "content": "Hi there"]], addGenerationPrompt: true,
            variables: ["x": "ab", "big": .string(String(repeating: "hello Wörld ", count: 20_000))])
    }

    private static func repeating(_ body: String) -> String {
        "{% set ns=namespace(l=[],f=none) %}{% for i in range(90000) %}" + body + "{% endfor %}ok"
    }

    @Test(
        "values that nest without end are stopped, before they are too deep to be freed",
        arguments: [
            "[ns.l]", "(ns.l,)", "{'a': ns.l}", "dict(a=ns.l)", "dict([('a', ns.l)])", "cycler(ns.l)", "joiner(ns.l)",
            "[ns.l].copy", "[ns.l]|batch(1)|list", "[ns.l]|slice(1)|list", "{'a': ns.l}.items()",
            "{'a': ns.l}|items|list",
            "[{'k': 1, 'v': ns.l}]|groupby('k')", "[ns.l, 1]|map('list')|list if false else [ns.l]",
        ])
    func depth(value: String) {
        #expect { try Self.render(Self.repeating("{% set ns.l = \(value) %}")) } throws: {
            ($0 as? ChatTemplateError)?.code == .limitExceeded
        }
    }

    @Test(
        "what may hold itself, or make chains of any length, is taken apart at the end",
        arguments: [
            repeating("{% set ns.l = namespace(a=ns.l) %}"), repeating("{% set ns.self = ns %}"),
            repeating("{% set ns.l = loop %}"), repeating("{% macro m() %}{% endmacro %}{% set ns.f = m %}"),
            "{% set ns=namespace(f=none) %}{% macro m(f) %}{% macro g() %}{% endmacro %}{% set ns.f=g %}{% endmacro %}"
                + "{% for i in range(50000) %}{{ m(ns.f) }}{% endfor %}ok",
        ])
    func chains(source: String) throws {
        #expect(try Self.render(source).hasSuffix("ok"))
    }

    @Test("scopes that a macro's macros make in each other are bounded")
    func scopes() {
        let source =
            "{% set ns=namespace(f=none) %}{% macro a() %}{% macro b() %}{{ ns.f() }}{% endmacro %}{% set ns.f=b %}"
            + "{% endmacro %}{{ a() }}{{ ns.f() }}"
        #expect { try Self.render(source) } throws: { ($0 as? ChatTemplateError)?.code == .limitExceeded }
    }

    @Test(
        "values that hold the same part twice, sixty times over, cost what looking at them costs",
        arguments: [
            "a == b", "a < b", "a|tojson", "a|tojson(sort_keys=true)", "a|string", "a|pprint", "a|join",
            "[a]|unique|list",
            "[a, b]|sort", "a in [b]", "[b].index(a)", "[b].count(a)", "{t: 1}", "t in {}", "{}.get(t)",
            "a is sameas(b)",
        ])
    func shared(expression: String) {
        let source =
            "{% set n=namespace(a=[1],b=[1],t=(1,)) %}{% for i in range(60) %}{% set n.a=[n.a,n.a] %}"
            + "{% set n.b=[n.b,n.b] %}{% set n.t=(n.t,n.t) %}{% endfor %}{% set a=n.a %}{% set b=n.b %}{% set t=n.t %}{{ "
            + expression + " }}"
        let start = ContinuousClock.now
        #expect(throws: ChatTemplateError.self) { try Self.render(source) }
        #expect(start.duration(to: .now) < Self.patience)
    }

    private static let edges = [
        "(-9223372036854775807-1)", "(-9223372036854775807)", "9223372036854775807", "(-1)", "0", "1", "16777216",
        "1000000000", "1e300", "(-1e300)", "true", "none", "''",
    ]

    /// Expressions with an integer `V` that a template chooses.
    private static let numbered = [
        "'abc'|truncate(V)", "'abc def'|truncate(2,true,'',V)", "'abc'|truncate(V,true,'',V)", "'abc'|center(V)",
        "'abc'.center(V)", "'abc'.ljust(V,'é')", "'abc'.rjust(V)", "'-ab'.zfill(V)", "'a\\nb'|indent(V)",
        "'a b c'|wordwrap(V)", "'a\\tb'.expandtabs(V)", "[1,2,3]|batch(V)|list", "[1,2,3]|batch(V,0)|list|length",
        "[1,2,3]|slice(V)|list|length", "[1,2,3]|slice(V,9)|list|length", "'abc'[V]", "[1,2][V]", "'abc'[V:]",
        "'abc'[:V]",
        "'abc'[::V]", "[1,2,3][V::V]", "(1,2,3)[:V:V]", "'abc'[V:V:V]", "'abc'.replace('b','x',V)",
        "'abc'|replace('','x',V)", "'a,b'.split(',',V)", "'a b'.rsplit(none,V)", "'a b'.split(none,V)",
        "'abc'.find('c',V)", "'abc'.count('c',0,V)", "'abc'.index('c',V,V)", "range(V)|list|length",
        "range(0,V,V)|list|length", "range(V,V+1)|list", "V|round(V)", "1.5|round(V,'ceil')", "V|abs", "V|int",
        "'x'|int(V,V)", "'z'|int(0,V)", "V|float", "'%*d'|format(V,3)", "'%.*f'|format(V,3.5)", "'%*s'|format(V,'x')",
        "'%.*d'|format(V,3)", "'%d'|format(V)", "'%x'|format(V)", "'%c'|format(V)", "'%.3f'|format(V)",
        "'{:,}'.format(V)",
        "'{:>20}'.format(V)", "V|filesizeformat", "V|filesizeformat(true)", "V//-1", "V%-1", "V*V", "V**2", "2**V",
        "-V",
        "V is divisibleby(-1)", "V is even", "V|string", "V|tojson", "[1]*V", "'ab'*V", "V+V", "V-1",
        "{'a':1}|tojson(indent=V)", "[3,V]|sort", "[V,1]|sum", "[V]|max", "cycler(V).next()", "[1,2]|first(V)",
        "x[V:V]",
    ]

    @Test("no integer that a template can write ends the process", arguments: numbered)
    func integers(expression: String) {
        for edge in Self.edges {
            let source = "{{ \(expression.replacing("V", with: edge)) }}"
            do {
                #expect(try Self.render(source).utf8.count <= 16 << 20, "\(source)")
            } catch {
                #expect(error is ChatTemplateError, "\(source)")
            }
        }
    }

    @Test(
        "what one step may hide is counted by what it costs",
        arguments: [
            "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
            "{% for a in range(10000) %}{% for b in range(10000) if false %}{% endfor %}{% endfor %}",
            "{% set l=range(100000)|list %}{% for a in l %}{% set b=l[1:] %}{% endfor %}",
            "{% set l=range(100000)|list %}{% for a in l %}{% if -1 in l %}{% endif %}{% endfor %}",
            "{% for i in range(100000) %}{% set a=big[-1] %}{% endfor %}",
            "{% for i in range(100000) %}{% set a=big.isupper() %}{% endfor %}",
            "{% for i in range(100000) %}{% set a=big|wordcount %}{% endfor %}",
            "{% for i in range(100000) %}{% set a=big|striptags %}{% endfor %}",
            "{% for i in range(100000) %}{% set a=big.split() %}{% endfor %}",
            "{% for i in range(100000) %}{% set a='%s'|format(big) %}{% endfor %}",
            "{% for i in range(100000) %}{% set a=range(10000)|map('string')|sort %}{% endfor %}",
            "{% for i in range(100000) %}{{ messages[0]['a'*60000] }}{% endfor %}",
            "{{ 'a'|map(*(['map']*100000))|list }}", "{{ (x~'a')*500000 }}{{ ((x~'a')*500000)[::-1]|length }}",
            "{% set ns=namespace() %}{% for i in range(100000) %}{% set ns.a=dict(ns.a or {}, **{'k'~i: i}) %}{% endfor %}",
            "{% set ns=namespace(l=[]) %}{% for i in range(1000) %}{% set ns.l=ns.l+['x'*1000000~i] %}{% endfor %}",
        ])
    func work(source: String) {
        let start = ContinuousClock.now
        #expect { try Self.render(source) } throws: { ($0 as? ChatTemplateError)?.code == .limitExceeded }
        #expect(start.duration(to: .now) < Self.patience)
    }

    @Test(
        "searching takes time by the lengths, not by their product",
        arguments: [
            "{% set s='a'*4000000 %}{{ ('a'*2000000~'b') in s }}",
            "{% set s='a'*1000000 %}{{ s.count('a'*500000~'b') }}",
            "{% set s='a'*1000000 %}{{ s.rfind('b'~'a'*500000) }}", "{{ ('a'*200000)|wordwrap(1)|length }}",
            "{% set s=(x~'a')*20000 %}{{ s.split('a')|length }}{{ s[::-1]|length }}{{ s|replace('b','')|length }}",
        ])
    func searching(source: String) throws {
        let start = ContinuousClock.now
        _ = try Self.render(source)
        #expect(start.duration(to: .now) < Self.patience)
    }

    @Test("a large conversation is no hostile one")
    func largeConversation() throws {
        let source =
            "{% for m in messages %}{% if m.role == 'user' %}{{ '<|im_start|>' ~ m.role ~ '\\n' ~ m.content|trim }}"
            + "{% elif m.content is string %}{{ m.content.split('</think>')[-1].lstrip('\\n') }}{% endif %}{% endfor %}"
            + "{{ tools | tojson(indent=2) }}"
        let messages = (0..<20_000).map { index -> JinjaValue in
            ["role": index % 2 == 0 ? "user" : "assistant", "content": .string(String(repeating: "word ", count: 20))]
        }
        let tool: JinjaValue = [
            "type": "function", "function": ["name": "f", "parameters": ["a": ["b": ["c": [1, 2, 3]]]]],
        ]
        let text = try ChatTemplate(source: source).render(
            messages: messages, addGenerationPrompt: true,
            variables: ["tools": .array(Array(repeating: tool, count: 200))])
        #expect(text.utf8.count > 2_000_000)
    }
}
