import Foundation
import Testing
import Tokenization

/// Files whose rules make a text long without bound, or take long for it; and texts that need the rules' worst.
@Suite("Hostile tokenizer.json")
struct HostileTokenizerTests {
    /// Far more than any takes, also where every build is slow; without a bound they would take hours, or all memory.
    private static let patience = Duration.seconds(60)
    private static let letters = String(repeating: "a", count: 1 << 18)
    private static let model = #"{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, " ": 3}, "merges": [["a", "b"]]}"#

    private static func load(_ rest: String, model: String = model) throws -> PipelineTokenizer {
        try TokenizerLoader.load(tokenizerJSON: Array(("{\"model\": \(model)" + rest + "}").utf8))
    }

    private static func replace(_ text: String, _ content: String, regex: Bool = false) -> String {
        #"{"type": "Replace", "pattern": {"\#(regex ? "Regex" : "String")": "\#(text)"}, "content": "\#(content)"}"#
    }

    private static func sequence(_ key: String, _ parts: String, _ count: Int) -> String {
        #"{"type": "Sequence", "\#(key)": [\#(Array(repeating: parts, count: count).joined(separator: ", "))]}"#
    }

    private static let hundred = String(repeating: "a", count: 100)

    @Test(
        "normalisers and pre-tokenisers that blow a text up are stopped before it is large",
        arguments: [
            #", "normalizer": "# + sequence("normalizers", replace("a", hundred), 3),
            #", "normalizer": "# + replace("a", String(repeating: "x", count: 1 << 18)),
            #", "normalizer": "# + replace("a|b", hundred, regex: true),
            #", "normalizer": "#
                + sequence(
                    "normalizers", #"{"type": "Prepend", "prepend": "\#(String(repeating: "x", count: 1 << 18))"}"#, 60),
            #", "normalizer": "# + sequence("normalizers", #"{"type": "Lowercase"}"#, 60),
            #", "pre_tokenizer": "#
                + sequence("pretokenizers", #"{"type": "ByteLevel", "use_regex": false, "add_prefix_space": true}"#, 30)
                + #", "normalizer": "# + replace("a", "é"),
            #", "pre_tokenizer": {"type": "Metaspace", "replacement": "\#(String(repeating: "x", count: 64))"}, "normalizer": "#
                + replace("a", " "),
            #", "added_tokens": [{"id": 9, "content": "\#(String(repeating: "a", count: 1000))b", "special": true}]"#,
        ])
    func growth(rest: String) throws {
        let start = ContinuousClock.now
        let tokenizer = try Self.load(rest)
        #expect { try tokenizer.encode(Self.letters, parseSpecial: true, addSpecial: true) } throws: {
            ($0 as? TokenizationError)?.code == .tooMuchWork
        }
        // The same tokeniser serves what it can.
        if let ids = try? tokenizer.encode("b", parseSpecial: true, addSpecial: true) { #expect(!ids.isEmpty) }
        #expect(start.duration(to: .now) < Self.patience)
    }

    @Test(
        "parts that no tokeniser has are refused at loading",
        arguments: [
            #", "normalizer": "# + sequence("normalizers", #"{"type": "Lowercase"}"#, 65),
            #", "decoder": "# + sequence("decoders", #"{"type": "Fuse"}"#, 17),
            #", "pre_tokenizer": {"type": "Metaspace", "replacement": "\#(String(repeating: "x", count: 65))"}"#,
            #", "added_tokens": [{"id": 9, "content": "\#(String(repeating: "a", count: 1025))"}]"#,
            #", "normalizer": "# + sequence("normalizers", replace("a", hundred), 4)
                + #", "added_tokens": [{"id": 9, "content": "\#(hundred)", "normalized": true}]"#,
            #", "post_processor": {"type": "TemplateProcessing", "special_tokens": {"x": {"ids": ["#
                + Array(repeating: "0", count: 65).joined(separator: ",")
                + #"]}}, "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}]}"#,
        ])
    func refused(rest: String) {
        #expect(throws: TokenizationError.self) { try Self.load(rest) }
    }

    @Test("affixes of a megabyte are refused", arguments: ["continuing_subword_prefix", "end_of_word_suffix"])
    func affixes(key: String) {
        let model =
            #"{"type": "BPE", "vocab": {"a": 0}, "merges": [], "\#(key)": "\#(String(repeating: "x", count: 1 << 20))"}"#
        #expect(throws: TokenizationError.self) { try Self.load("", model: model) }
    }

    @Test(
        "long tokens in the vocabulary do not make time grow with their length",
        arguments: [
            #"{"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1], "#
                + (2..<3000).map { #"["\#(String(repeating: "a", count: $0))", -\#($0)]"# }.joined(separator: ", ")
                + "]}",
            #"{"type": "WordPiece", "unk_token": "[UNK]", "max_input_chars_per_word": 1073741824, "vocab": {"[UNK]": 0, "#
                + "\"a\": 1, \"##a\": 2, \"" + String(repeating: "a", count: 50_000) + "\": 3, \"##"
                + String(repeating: "a", count: 50_000) + "\": 4}}",
        ])
    func longTokens(model: String) throws {
        let start = ContinuousClock.now
        let tokenizer = try Self.load("", model: model)
        #expect { try tokenizer.encode(Self.letters, parseSpecial: true, addSpecial: true) } throws: {
            ($0 as? TokenizationError)?.code == .tooMuchWork
        }
        #expect(try tokenizer.encode("aa", parseSpecial: true, addSpecial: true).count >= 1)
        #expect(start.duration(to: .now) < Self.patience)
    }

    @Test("merges each of which makes one that is preferred are done in their order, in time by the length")
    func interruptedMerges() throws {
        let model =
            #"{"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "bc": 5}, "#
            + #""merges": [["ab", "c"], ["a", "b"], ["b", "c"]]}"#
        let tokenizer = try Self.load("", model: model)
        let start = ContinuousClock.now
        let ids = try tokenizer.encode(
            String(repeating: "abc", count: 300_000) + "abbcb", parseSpecial: false, addSpecial: false)
        #expect(ids == [UInt32](repeating: 4, count: 300_000) + [3, 5, 1])
        #expect(start.duration(to: .now) < Self.patience)
        // Long words are merged as short ones are, which are scanned.
        for text in ["abcabcabbcbcab", "bcabcaabcbb"] {
            let short = try tokenizer.encode(text, parseSpecial: false, addSpecial: false)
            let long = try tokenizer.encode(String(repeating: text, count: 50), parseSpecial: false, addSpecial: false)
            #expect(long.count <= short.count * 50 && long.prefix(short.count - 2) == short.prefix(short.count - 2))
        }
    }

    @Test(
        "expressions are compiled in time by their length, repetition included",
        arguments: [
            "[" + String(String.UnicodeScalarView((0..<20_000).compactMap { Unicode.Scalar(0x4E00 + UInt32($0)) }))
                + "]+",
            String(String.UnicodeScalarView((0..<4000).compactMap { Unicode.Scalar(0x4E00 + UInt32($0)) })),
            "([" + String(repeating: "xyz", count: 6000) + "]b){1000}", "((?i:abc|d[^e]f){100}){100}",
            #"\\{"# + String(repeating: "{", count: 60_000), (0..<1000).map { _ in #"[\\p{L}\\p{N}\\w]"# }.joined(),
            String(repeating: "[^", count: 30) + "a" + String(repeating: "]", count: 30),
            String(repeating: "(a{0,9}){0,9}", count: 50),
        ])
    func expressions(pattern: String) throws {
        let start = ContinuousClock.now
        let split =
            #", "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\#(pattern)"}, "behavior": "Isolated"}"#
        do {
            _ = try Self.load(split).encode("abc 一丁", parseSpecial: true, addSpecial: true)
        } catch {
            #expect(error is TokenizationError)
        }
        #expect(start.duration(to: .now) < Self.patience)
    }

    @Test("an expression that goes back for ever has one allowance for all words of a text, and for all steps")
    func catastrophes() throws {
        let split = #"{"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated"}"#
        let tokenizer = try Self.load(
            #", "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, \#(split), \#(split)]}"#
        )
        let start = ContinuousClock.now
        let text = String(repeating: String(repeating: "a", count: 30) + "c ", count: 8000)
        #expect(try tokenizer.encode(text, parseSpecial: true, addSpecial: true).count == 240_000)
        #expect(start.duration(to: .now) < Self.patience)
    }

    @Test("a decoder cannot make a token's text long, in a stream or in one piece")
    func decoders() throws {
        let tokenizer = try Self.load(
            #", "decoder": "# + Self.sequence("decoders", Self.replace("a", Self.hundred), 16))
        for token in UInt32(0)..<4 { #expect(tokenizer.bytes(of: token).count <= 4096) }
        #expect(tokenizer.decode([0, 1, 2], skipSpecial: false).utf8.count <= 3 * 4096)
        // What is no blow-up is done.
        let mild = try Self.load(#", "decoder": "# + Self.sequence("decoders", Self.replace("a", "aa"), 3))
        #expect(mild.decode([0, 1], skipSpecial: false) == "aaaaaaaab")
        #expect(mild.bytes(of: 0) == Array("aaaaaaaa".utf8))
    }

    /// `FATHOM_FUZZ_TOKENIZERS` sets how many (default 300), `FATHOM_FUZZ_SEED` where the series begins; a seed has the same
    /// files in every run.
    @Test("random chains of parts and random expressions load or are refused, and end, in bounded time and memory")
    func chains() {
        let environment = ProcessInfo.processInfo.environment
        let count = environment["FATHOM_FUZZ_TOKENIZERS"].flatMap(Int.init) ?? 300
        let seed = environment["FATHOM_FUZZ_SEED"].flatMap(UInt64.init) ?? 1
        var loaded = 0
        for round in 0..<count {
            var random = SplitMix64(state: seed &* 1_000_003 &+ UInt64(round))
            let rest = Self.randomParts(&random)
            let text = ["a", "aB c", "é\u{301}ﷺ", " \n", "a b'll 123", "日本<x>"].randomElement(using: &random) ?? ""
            let long = String(repeating: text, count: [1, 40, 2000].randomElement(using: &random) ?? 1)
            let start = ContinuousClock.now
            do {
                let tokenizer = try Self.load(rest)
                loaded += 1
                let ids = try tokenizer.encode(long, parseSpecial: true, addSpecial: true)
                _ = tokenizer.decode(Array(ids.prefix(1000)), skipSpecial: false)
            } catch {
                #expect(error is TokenizationError, "\(rest)")
            }
            let seconds = start.duration(to: .now) / .seconds(1)
            if seconds > 30 { Issue.record("\(seconds) s: \(rest)") }
            if environment["FATHOM_FUZZ_VERBOSE"] != nil, seconds > 1 { print(seconds, rest) }
        }
        #expect(loaded > count / 10)
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let peak =
            status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }
            .flatMap { $0.split(whereSeparator: { !$0.isNumber }).first }.flatMap { Int($0) } ?? 0
        #expect(peak < 6_000_000)
    }

    private static func randomParts(_ random: inout SplitMix64) -> String {
        func expression() -> String {
            let atoms = [
                "a", "b", ".", "\\\\s", "\\\\p{L}", "[^a]", "[a-z&&[^b]]", "(?i:a)", "\\\\d", " ", "$", "^", "\\\\b",
                "{", "é",
            ]
            let tails = ["", "", "+", "*", "?", "*?", "++", "{2,5}", "{0,900}", "+?"]
            var result = ""
            for _ in 0..<Int.random(in: 1...5, using: &random) {
                var part = (atoms.randomElement(using: &random) ?? "") + (tails.randomElement(using: &random) ?? "")
                switch Int.random(in: 0..<6, using: &random) {
                case 0:
                    part =
                        "(\(part)|\(atoms.randomElement(using: &random) ?? ""))"
                        + (tails.randomElement(using: &random) ?? "")
                case 1: part = "(?=\(part))"
                case 2: part = "(?:\(part))+"
                default: break
                }
                result += part
            }
            return result
        }
        func normalizer() -> String {
            let content = String(
                repeating: ["a", " ", "é", "xa"].randomElement(using: &random) ?? "",
                count: [0, 1, 3, 200].randomElement(using: &random) ?? 0)
            switch Int.random(in: 0..<8, using: &random) {
            case 0, 1: return replace(["a", " ", "aa", "é"].randomElement(using: &random) ?? "a", content)
            case 2: return replace(expression(), content, regex: true)
            case 3: return #"{"type": "Prepend", "prepend": "\#(content)"}"#
            case 4: return #"{"type": "Strip"}"#
            case 5: return #"{"type": "BertNormalizer"}"#
            default:
                return
                    #"{"type": "\#(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"].randomElement(using: &random) ?? "NFC")"}"#
            }
        }
        func preTokenizer() -> String {
            switch Int.random(in: 0..<7, using: &random) {
            case 0, 1:
                let behavior =
                    ["Isolated", "Removed", "MergedWithNext", "MergedWithPrevious", "Contiguous"].randomElement(
                        using: &random) ?? ""
                return
                    #"{"type": "Split", "pattern": {"Regex": "\#(expression())"}, "behavior": "\#(behavior)", "invert": \#(Bool.random(using: &random))}"#
            case 2:
                return
                    #"{"type": "ByteLevel", "add_prefix_space": \#(Bool.random(using: &random)), "use_regex": \#(Bool.random(using: &random))}"#
            case 3: return #"{"type": "Metaspace"}"#
            case 4: return #"{"type": "Digits", "individual_digits": true}"#
            default:
                return
                    #"{"type": "\#(["Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Punctuation"].randomElement(using: &random) ?? "Whitespace")"}"#
            }
        }
        func list(_ part: () -> String) -> String {
            (0..<Int.random(in: 1...6, using: &random)).map { _ in part() }.joined(separator: ", ")
        }
        let normalizers = list(normalizer)
        let preTokenizers = list(preTokenizer)
        let decoders = list { replace(["a", " ", "b"].randomElement(using: &random) ?? "a", "aab") }
        return #", "normalizer": {"type": "Sequence", "normalizers": [\#(normalizers)]}, "#
            + #""pre_tokenizer": {"type": "Sequence", "pretokenizers": [\#(preTokenizers)]}, "#
            + #""decoder": {"type": "Sequence", "decoders": [\#(decoders)]}, "#
            + #""added_tokens": [{"id": 7, "content": "<x>", "normalized": \#(Bool.random(using: &random)), "lstrip": true}]"#
    }
}
