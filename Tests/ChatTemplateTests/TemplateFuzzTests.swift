import ChatTemplate
import Foundation
import Testing

/// Templates put together at random from what the language has, with numbers at their ends and loops around them: each is
/// rendered or refused, and none ends the process, hangs or takes memory without end.
///
/// `FATHOM_FUZZ_TEMPLATES` sets how many (default 1500), `FATHOM_FUZZ_SEED` where the series begins; a seed has the same
/// templates in every run.
@Suite("Fuzzed templates")
struct TemplateFuzzTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let count = environment["FATHOM_FUZZ_TEMPLATES"].flatMap(Int.init) ?? 1500
    private static let seed = environment["FATHOM_FUZZ_SEED"].flatMap(UInt64.init) ?? 1

    @Test("random programs over every filter, test and method end, in bounded time and memory")
    func programs() {
        var rendered = 0
        for round in 0..<Self.count {
            var writer = TemplateWriter(seed: Self.seed &* 1_000_003 &+ UInt64(round))
            let source = writer.template()
            let start = ContinuousClock.now
            do {
                _ = try ChatTemplate(source: source).render(
                    messages: [["role": "user", "content": "Hi <|x|> é"]], addGenerationPrompt: true,
                    variables: ["x": "ab<b>\n", "d": ["k": [1, 2.5, "z"], "e": nil]], secondsSince1970: 1e9)
                rendered += 1
            } catch {
                #expect(error is ChatTemplateError, "\(source)")
            }
            let seconds = start.duration(to: .now) / .seconds(1)
            if seconds > 30 { Issue.record("\(seconds) s: \(source)") }
            if Self.environment["FATHOM_FUZZ_VERBOSE"] != nil, seconds > 1 { print(seconds, source) }
        }
        #expect(rendered > Self.count / 20)
        // A template may take some hundred megabytes for as long as it runs, and none after.
        #expect(ProcessMemory.peakMegabytes < 4000)
    }
}

/// What the process has taken, where the system tells.
enum ProcessMemory {
    static var peakMegabytes: Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }
        return line.flatMap { $0.split(whereSeparator: { !$0.isNumber }).first }.flatMap { Int($0) }.map { $0 / 1024 }
            ?? 0
    }
}

/// Writes templates at random.
private struct TemplateWriter {
    private var random: SplitMix64
    private var depth = 0

    init(seed: UInt64) { random = SplitMix64(state: seed) }

    private mutating func pick(_ choices: [String]) -> String { choices.randomElement(using: &random) ?? "" }
    private mutating func chance(_ of: Int) -> Bool { Int.random(in: 0..<of, using: &random) == 0 }

    mutating func template() -> String {
        "{% set ns = namespace(a=[1], s='ab', d={'k': 1}, f=none) %}{% macro m(a, b=2) %}{{ a }}{% if varargs %}{% endif %}"
            + "{% endmacro %}" + statements()
    }

    private mutating func statements() -> String {
        (0..<Int.random(in: 1...4, using: &random)).map { _ in statement() }.joined()
    }

    private mutating func statement() -> String {
        depth += 1
        defer { depth -= 1 }
        guard depth < 5 else { return "{{ \(expression()) }}" }
        switch Int.random(in: 0..<14, using: &random) {
        case 0:
            let loop = pick(["range(\(number()))", expression(), "range(1000)", "range(90000)"])
            return "{% for i in \(loop)\(chance(4) ? " if " + expression() : "")\(chance(6) ? " recursive" : "") %}"
                + statements() + (chance(5) ? "{{ loop(\(expression())) }}" : "") + "{% endfor %}"
        case 1: return "{% if \(expression()) %}\(statements()){% else %}\(statements()){% endif %}"
        case 2...5: return "{% set ns.\(pick(["a", "s", "d", "f", "z"])) = \(expression()) %}"
        case 6: return "{% macro \(pick(["m", "q"]))(a=ns.a) %}\(statements()){% endmacro %}"
        case 7: return "{% call m(\(expression())) %}\(statements()){% endcall %}"
        case 8:
            return
                "{% filter \(pick(["upper", "indent", "e", "wordwrap(3)", "tojson", "urlencode"])) %}\(statements()){% endfilter %}"
        case 9: return "{% with w = \(expression()) %}\(statements()){% endwith %}"
        case 10: return "{% set t %}\(statements()){% endset %}"
        default: return "{{ \(expression()) }}"
        }
    }

    private mutating func number() -> String {
        pick([
            "0", "1", "2", "-1", "7", "64", "1000", "65536", "100000", "16777216", "2147483647", "9223372036854775807",
            "(-9223372036854775807-1)", "1e300", "0.5", "-0.0", "1e-300",
        ])
    }

    private mutating func atom() -> String {
        switch Int.random(in: 0..<6, using: &random) {
        case 0: return number()
        case 1:
            return pick([
                "'abc'", "'a b\\tc\\n'", "''", "'%s%5d'", "'{:>9}{}'", "'ΑΣ ß ﷺ é'", "'<b>&</b>'", "'12'", "' '",
            ])
        case 2:
            return pick([
                "ns.a", "ns.s", "ns.d", "ns.f", "ns.z", "x", "d", "messages", "loop", "i", "w", "t", "ns", "m",
            ])
        case 3: return "[\(expression()), \(expression())]"
        case 4: return "(\(expression()),)"
        default: return "{\(pick(["'k'", "1", "(1, 2)", "ns.s"])): \(expression())}"
        }
    }

    private mutating func arguments() -> String {
        (0..<Int.random(in: 0...3, using: &random)).map { _ in
            let value = chance(2) ? number() : expression()
            return chance(6)
                ? pick(["attribute", "reverse", "indent", "width", "sep", "default"]) + "=" + value : value
        }.sorted { !$0.contains("=") && $1.contains("=") }.joined(separator: ", ")
    }

    private mutating func expression() -> String {
        depth += 1
        defer { depth -= 1 }
        guard depth < 8 else { return atom() }
        let left = atom()
        switch Int.random(in: 0..<12, using: &random) {
        case 0...3: return "\(left)|\(pick(Self.filters))" + (chance(3) ? "" : "(\(arguments()))")
        case 4, 5: return "\(left).\(pick(Self.methods))(\(arguments()))"
        case 6, 7:
            return
                "(\(left) \(pick(["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "or"])) \(expression()))"
        case 8: return "\(left)[\(chance(2) ? number() : "\(number()):\(number()):\(number())")]"
        case 9: return "(\(left) is \(pick(Self.tests)))"
        case 10:
            return pick([
                "dict(a=\(left))", "cycler(\(left)).next()", "joiner(\(left))", "namespace(a=\(left))", "m(\(left))",
            ])
        default: return left
        }
    }

    private static let filters = [
        "abs", "attr", "batch", "capitalize", "center", "default", "dictsort", "e", "filesizeformat", "first", "float",
        "format", "groupby", "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min",
        "pprint", "reject", "replace", "reverse", "round", "select", "selectattr", "slice", "sort", "string",
        "striptags",
        "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount", "wordwrap",
    ]
    private static let methods = [
        "items", "keys", "values", "get", "copy", "index", "count", "capitalize", "center", "endswith", "expandtabs",
        "find", "format", "isalpha", "istitle", "join", "ljust", "lstrip", "partition", "removeprefix", "replace",
        "rfind",
        "rjust", "rsplit", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper", "zfill",
    ]
    private static let tests = [
        "defined", "none", "string", "mapping", "iterable", "callable", "even", "divisibleby(3)", "eq(1)", "in([1])",
        "lt(2)", "sameas(1)", "upper", "number", "odd", "sequence", "filter", "test",
    ]
}
