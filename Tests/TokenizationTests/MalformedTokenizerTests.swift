import Foundation
import Testing
import Tokenization

/// Files that are broken, contradict themselves or want too much.
@Suite("Malformed tokenizer.json")
struct MalformedTokenizerTests {
    private func load(_ text: String) throws -> PipelineTokenizer {
        try TokenizerLoader.load(tokenizerJSON: Array(text.utf8))
    }

    private func refused(_ text: String, _ code: TokenizationError.Code = .malformed) {
        #expect { try load(text) } throws: { ($0 as? TokenizationError)?.code == code }
    }

    private func file(_ model: String, _ rest: String = "") -> String { "{\"model\": \(model)\(rest)}" }

    private let good = #"{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}"#

    @Test("a file that is whole loads")
    func whole() throws {
        let tokenizer = try load(file(good))
        #expect(try tokenizer.encode("abba", parseSpecial: true, addSpecial: true) == [2, 1, 0])
    }

    @Test("every beginning of a file is refused, and no byte changed crashes it")
    func truncated() throws {
        let text = Array(
            file(
                good, #", "added_tokens": [{"id": 3, "content": "<s>", "special": true}], "decoder": {"type": "Fuse"}"#
            ).utf8)
        for length in 0..<text.count {
            #expect(throws: TokenizationError.self) {
                try TokenizerLoader.load(tokenizerJSON: Array(text[..<length]))
            }
        }
        var random = SplitMix64(state: 1)
        for _ in 0..<3000 {
            var mutant = text
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                mutant[Int.random(in: 0..<mutant.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let tokenizer = try? TokenizerLoader.load(tokenizerJSON: mutant)
            _ = try? tokenizer?.encode("ab<s>\u{301}c", parseSpecial: true, addSpecial: true)
        }
    }

    /// At each place the pattern takes the rest of the spaces and gives all of them back; unbounded, that is hours.
    @Test("a pattern that goes back over a long text takes time by its length only", .timeLimit(.minutes(5)))
    func backtracking() throws {
        let split =
            #", "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "#
            + #""behavior": "Isolated"}"#
        let tokenizer = try load(file(#"{"type": "BPE", "vocab": {" ": 0, "x": 1}, "merges": []}"#, split))
        let count = 1_500_000
        let ids = try tokenizer.encode(
            String(repeating: " ", count: count) + "x", parseSpecial: false, addSpecial: false)
        #expect(ids.count == count + 1)
        #expect(ids.last == 1)
    }

    @Test("text that is no JSON")
    func syntax() {
        for text in [
            "", "nul", "[1,]", "{\"a\":}", "{\"a\" 1}", "\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\\x\"", "01", "1e999",
            "\"\u{1}\"", "{} {}",
            String(repeating: "[", count: 100_000), String(repeating: "{\"a\":", count: 100_000),
        ] {
            refused(text)
        }
        #expect(throws: TokenizationError.self) {
            try TokenizerLoader.load(tokenizerJSON: Array("{\"model\": \"".utf8) + [0xC3, 0x28] + Array("\"}".utf8))
        }
    }

    @Test("wrong types and missing parts")
    func types() {
        refused("[]")
        refused("{}")
        for model in [
            "3", "{}", #"{"vocab": 1}"#, #"{"type": 4, "vocab": {"a": 0}}"#, #"{"type": "BPE", "vocab": {"a": 0}}"#,
            #"{"type": "BPE", "vocab": {}, "merges": []}"#, #"{"type": "BPE", "vocab": {"a": "0"}, "merges": []}"#,
            #"{"type": "BPE", "vocab": {"a": 0.5}, "merges": []}"#,
            #"{"type": "BPE", "vocab": {"a": 0}, "merges": {}}"#,
            #"{"type": "BPE", "vocab": {"a": 0}, "merges": [1]}"#,
            #"{"type": "BPE", "vocab": {"a": 0}, "merges": [["a"]]}"#,
            #"{"type": "Unigram", "vocab": [["a"]]}"#, #"{"type": "Unigram", "vocab": {"a": 0}}"#,
            #"{"type": "Unigram", "unk_id": 7, "vocab": [["a", 0]]}"#, #"{"type": "WordPiece", "vocab": {"a": 0}}"#,
        ] {
            refused(file(model))
        }
        refused(file(#"{"type": "Magic", "vocab": {"a": 0}}"#), .unsupported)
        for part in [
            #""normalizer": {"type": "Magic"}"#, #""pre_tokenizer": {"type": "Magic"}"#,
            #""decoder": {"type": "Magic"}"#,
            #""post_processor": {"type": "Magic"}"#,
            #""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?<=a)b"}, "behavior": "Isolated"}"#,
            #""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "((a*)*)*"}, "behavior": "Isolated"}"#,
        ] {
            refused(file(good, ", " + part), .unsupported)
        }
        for part in [
            #""normalizer": 1"#, #""normalizer": {}"#, #""pre_tokenizer": {"type": "Split"}"#,
            #""normalizer": {"type": "Precompiled", "precompiled_charsmap": "!"}"#,
            #""normalizer": {"type": "Precompiled", "precompiled_charsmap": "////////"}"#,
            #""decoder": {"type": "Strip", "content": "ab"}"#, #""added_tokens": {}"#, #""added_tokens": [{"id": 3}]"#,
            #""post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}], "special_tokens": {}}"#,
        ] {
            refused(file(good, ", " + part))
        }
    }

    @Test("ids twice, out of range or with holes")
    func ids() throws {
        refused(file(#"{"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}"#))
        refused(file(#"{"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}"#))
        refused(file(#"{"type": "BPE", "vocab": {"a": -1}, "merges": []}"#))
        refused(file(#"{"type": "BPE", "vocab": {"a": 4294967296}, "merges": []}"#))
        refused(file(#"{"type": "BPE", "vocab": {"a": 1e300}, "merges": []}"#))
        refused(file(good, #", "added_tokens": [{"id": 0, "content": "<s>"}]"#))
        refused(file(good, #", "added_tokens": [{"id": 5, "content": "<s>"}, {"id": 5, "content": "<t>"}]"#))
        refused(file(good, #", "added_tokens": [{"id": 99999999, "content": "<s>"}]"#))
        let holes = try load(file(#"{"type": "BPE", "vocab": {"a": 0, "b": 1000}, "merges": []}"#))
        #expect(holes.vocabularySize == 1001)
        #expect(try holes.encode("ab", parseSpecial: true, addSpecial: false) == [0, 1000])
        #expect(holes.bytes(of: 500) == Array(" ".utf8) || holes.bytes(of: 500).isEmpty)
    }

    @Test("merges that name no token, and merges that lead back to themselves")
    func merges() throws {
        refused(file(#"{"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}"#))
        refused(file(#"{"type": "BPE", "vocab": {"a": 0, "aa": 1}, "merges": [["a", "c"]]}"#))
        refused(file(#"{"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["ab"]}"#))
        // An empty token would make a merge of itself for ever.
        let empty = try load(
            file(#"{"type": "BPE", "vocab": {"": 0, "a": 1}, "merges": [["", "a"], ["a", ""], ["", ""]]}"#))
        #expect(try empty.encode("aaa", parseSpecial: true, addSpecial: false) == [1, 1, 1])
    }

    @Test("an expression that backtracks for ever ends, and so does a text that is one long word")
    func time() throws {
        let split = #""pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$|b"}, "behavior": "Isolated"}"#
        let tokenizer = try load(file(good, ", " + split))
        let text = String(repeating: "a", count: 30) + "c"
        #expect(try tokenizer.encode(text, parseSpecial: true, addSpecial: false).count == 30)
        #expect(
            try load(file(good)).encode(String(repeating: "ab", count: 200_000), parseSpecial: true, addSpecial: false)
                .count == 200_000)
    }

    @Test("files that are not there or no tokeniser")
    func paths() {
        #expect { try TokenizerLoader.load(path: "/nonexistent") } throws: {
            ($0 as? TokenizationError)?.code == .inputOutput
        }
        #expect { try TokenizerLoader.load(path: "/dev") } throws: { ($0 as? TokenizationError)?.code == .inputOutput }
    }
}
