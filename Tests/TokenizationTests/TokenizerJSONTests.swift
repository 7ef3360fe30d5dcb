import Foundation
import ModelFiles
import Testing
import Tokenization

/// A tokenizer.json with what the `tokenizers` library does with it.
struct TokenizerFixture {
    struct Case: Decodable {
        let text: String
        let ids: [UInt32]
        let special: [UInt32]
        let plain: [UInt32]
        let decoded: String
    }

    private struct File: Decodable { let cases: [Case] }

    static let names = [
        "albert", "cased", "cl100k", "clip", "coder", "deepseek3", "gemma", "gpt4o", "kimi", "llama2", "llama3",
        "mistral",
        "nfd", "qwen2", "roberta", "t5", "xlmr",
    ]

    /// The parsed tokenizer.json.
    let description: [String: Any]
    let cases: [Case]

    init(_ name: String) throws {
        let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let data = try Data(
            contentsOf: directory.appendingPathComponent("Fixtures/tokenization/json/\(name).json"))
        let root = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        description = try #require(root["tokenizer"] as? [String: Any])
        cases = try JSONDecoder().decode(File.self, from: data).cases
    }

    func tokenizer(_ change: (inout [String: Any]) -> Void = { _ in }) throws -> PipelineTokenizer {
        var description = description
        change(&description)
        let data = try JSONSerialization.data(withJSONObject: description)
        return try TokenizerLoader.load(tokenizerJSON: Array(data), framing: .postProcessor)
    }
}

@Suite("tokenizer.json")
struct TokenizerJSONTests {
    @Test("ids and texts equal those of the tokenizers library", arguments: TokenizerFixture.names)
    func library(name: String) throws {
        let fixture = try TokenizerFixture(name)
        let tokenizer = try fixture.tokenizer()
        #expect(fixture.cases.count >= 100)
        for item in fixture.cases {
            let text = item.text.debugDescription
            #expect(try tokenizer.encode(item.text, parseSpecial: true, addSpecial: false) == item.ids, "\(text)")
            #expect(try tokenizer.encode(item.text, parseSpecial: true, addSpecial: true) == item.special, "\(text)")
            #expect(try tokenizer.encode(item.text, parseSpecial: false, addSpecial: false) == item.plain, "\(text)")
            #expect(tokenizer.decode(item.ids, skipSpecial: false) == item.decoded, "\(text)")
        }
    }

    @Test(
        "the pieces of a stream are the text decoded at once",
        arguments: TokenizerFixture.names.filter { $0 != "clip" })
    func stream(name: String) throws {
        let fixture = try TokenizerFixture(name)
        let tokenizer = try fixture.tokenizer()
        for item in fixture.cases {
            var detokenizer = StreamingDetokenizer(tokenizer: tokenizer, skipSpecial: true)
            let text = item.special.map { detokenizer.append($0) }.joined() + detokenizer.finish()
            #expect(text == tokenizer.decode(item.special, skipSpecial: true), "\(item.text.debugDescription)")
        }
    }

    @Test("scanners written by hand cut as their regular expressions do", arguments: ["llama3", "qwen2", "deepseek3"])
    func scanners(name: String) throws {
        let fixture = try TokenizerFixture(name)
        let scanner = try fixture.tokenizer()
        // A group around the expression changes nothing, but it is not known by sight any more.
        let expression = try fixture.tokenizer { description in
            var pre = description["pre_tokenizer"] as? [String: Any] ?? [:]
            var steps = pre["pretokenizers"] as? [[String: Any]] ?? []
            for index in steps.indices {
                guard let regex = (steps[index]["pattern"] as? [String: String])?["Regex"] else { continue }
                steps[index]["pattern"] = ["Regex": "(?:\(regex))"]
            }
            pre["pretokenizers"] = steps
            description["pre_tokenizer"] = pre
        }
        var random = SplitMix64(state: 3)
        for _ in 0..<2000 {
            let text = randomText(&random)
            #expect(
                try scanner.encode(text, parseSpecial: false, addSpecial: false)
                    == expression.encode(text, parseSpecial: false, addSpecial: false), "\(text.debugDescription)")
        }
    }

    private func randomText(_ random: inout SplitMix64) -> String {
        let pieces = [
            " ", "  ", "\n", "\r\n", "\t", "a", "Zx", "'s", "'LL", "1", "234", ".", "?!", "$", "\u{301}", "é", "世", "カ",
            "゛", "・", "\u{1}", "😀",
        ]
        var text = ""
        for _ in 0..<Int.random(in: 1...24, using: &random) {
            if Int.random(in: 0..<6, using: &random) == 0 {
                let scalar = Unicode.Scalar(UInt32.random(in: 0..<0x30000, using: &random))
                text.unicodeScalars.append(scalar ?? "x")
            } else {
                text += pieces.randomElement(using: &random) ?? ""
            }
        }
        return text
    }

    @Test("roles come from tokenizer_config.json, and BOS where the post-processor adds nothing")
    func configuration() throws {
        let fixture = try TokenizerFixture("deepseek3")
        let text = Array(try JSONSerialization.data(withJSONObject: fixture.description))
        let settings = Array(
            #"{"bos_token": {"content": "<｜begin▁of▁sentence｜>"}, "eos_token": "<｜end▁of▁sentence｜>", "add_bos_token": true}"#
                .utf8)
        let tokenizer = try TokenizerLoader.load(tokenizerJSON: text, configuration: settings)
        #expect(tokenizer.bosTokenID == 0)
        #expect(tokenizer.eosTokenID == 1)
        #expect(tokenizer.endOfGenerationTokenIDs == [1])
        #expect(try tokenizer.encode("", parseSpecial: true, addSpecial: true) == [0])
        let plain = try TokenizerLoader.load(
            tokenizerJSON: text, configuration: settings, framing: .postProcessor)
        #expect(try plain.encode("", parseSpecial: true, addSpecial: true).isEmpty)
    }
}
