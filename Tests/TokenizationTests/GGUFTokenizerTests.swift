import Foundation
import ModelFiles
import Testing
import Tokenization

/// The same tokenisers from GGUF metadata as from tokenizer.json.
@Suite("Tokenisers of GGUF files")
struct GGUFTokenizerTests {
    private func vocabulary(_ fixture: TokenizerFixture) throws -> [String] {
        let model = try #require(fixture.description["model"] as? [String: Any])
        let ids = try #require(model["vocab"] as? [String: Int])
        return ids.sorted { $0.value < $1.value }.map(\.key)
    }

    private func strings(_ values: [String]) -> GGUFValue { .array(GGUFArray(GGUFStringArray(values))) }

    private func doubles(_ values: [Double]) throws -> GGUFValue {
        let bytes = values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
        return .array(try #require(GGUFArray(scalars: bytes, elementType: .float64)))
    }

    private func integers(_ values: [Int32]) -> GGUFValue { .array(GGUFArray(values)) }

    @Test("SentencePiece byte pairs by scores give the ids of the merges")
    func sentencePiece() throws {
        let fixture = try TokenizerFixture("llama2")
        let tokens = try vocabulary(fixture)
        let isByte = { (text: String) in text.utf8.count == 6 && text.hasPrefix("<0x") }
        let kinds: [Int32] = tokens.map { ["<unk>", "<s>", "</s>"].contains($0) ? 3 : isByte($0) ? 6 : 1 }
        let tokenizer = try TokenizerLoader.load(
            gguf: GGUFMetadata([
                "tokenizer.ggml.model": .string("llama"), "tokenizer.ggml.tokens": strings(tokens),
                "tokenizer.ggml.token_type": integers(kinds),
                "tokenizer.ggml.scores": try doubles(tokens.indices.map { -Double($0) }),
                "tokenizer.ggml.bos_token_id": .uint32(1), "tokenizer.ggml.unknown_token_id": .uint32(0),
            ]))
        for item in fixture.cases {
            #expect(
                try tokenizer.encode(item.text, parseSpecial: true, addSpecial: false) == item.ids,
                "\(item.text.debugDescription)")
            #expect(try tokenizer.encode(item.text, parseSpecial: true, addSpecial: true) == item.special)
            #expect(tokenizer.decode(item.ids, skipSpecial: false) == item.decoded)
        }
    }

    @Test("unigram with a character map")
    func unigram() throws {
        let fixture = try TokenizerFixture("t5")
        let model = try #require(fixture.description["model"] as? [String: Any])
        let entries = try #require(model["vocab"] as? [[Any]])
        let tokens = entries.compactMap { $0[0] as? String }
        let scores = entries.compactMap { ($0[1] as? NSNumber)?.doubleValue }
        let normalizer = try #require(fixture.description["normalizer"] as? [String: Any])
        let parts = try #require(normalizer["normalizers"] as? [[String: Any]])
        let encoded = try #require(parts[0]["precompiled_charsmap"] as? String)
        let map = try #require(Data(base64Encoded: encoded))
        let tokenizer = try TokenizerLoader.load(
            gguf: GGUFMetadata([
                "tokenizer.ggml.model": .string("t5"), "tokenizer.ggml.tokens": strings(tokens),
                "tokenizer.ggml.scores": try doubles(scores),
                "tokenizer.ggml.token_type": integers(tokens.indices.map { $0 == 0 ? 2 : $0 < 3 ? 3 : 1 }),
                "tokenizer.ggml.precompiled_charsmap": integers(map.map { Int32($0) }),
                "tokenizer.ggml.unknown_token_id": .uint32(0),
            ]))
        // The rule for several spaces is tokenizer.json's alone.
        for item in fixture.cases where !item.text.contains("  ") && !item.text.contains(where: \.isWhitespace) {
            #expect(
                try tokenizer.encode(item.text, parseSpecial: true, addSpecial: false) == item.ids,
                "\(item.text.debugDescription)")
        }
    }

    @Test("WordPiece, where GGUF marks the starts of words")
    func wordPiece() throws {
        let vocabulary = try String(
            contentsOfFile: TokenizationFixture.modelPath("all-minilm-l6-v2/vocab.txt"), encoding: .utf8)
        let tokens = vocabulary.utf8.split(separator: UInt8(ascii: "\n")).map { line in
            let isControl = line.first == UInt8(ascii: "[") && line.last == UInt8(ascii: "]") && line.count > 2
            let continues = line.count > 2 && line.starts(with: "##".utf8)
            let text = String(decoding: continues ? line.dropFirst(2) : line, as: UTF8.self)
            return isControl || continues ? text : "\u{2581}" + text
        }
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        let tokenizer = try TokenizerLoader.load(
            gguf: GGUFMetadata([
                "tokenizer.ggml.model": .string("bert"), "tokenizer.ggml.tokens": strings(tokens),
                "tokenizer.ggml.token_type": integers(tokens.map { special.contains($0) ? 3 : 1 }),
            ]))
        for item in try TokenizationFixture.cases("wordpiece-minilm.json") {
            #expect(
                try tokenizer.encode(item.text, parseSpecial: true, addSpecial: false) == item.ids,
                "\(item.text.debugDescription)")
        }
        #expect(try tokenizer.encode("", parseSpecial: true, addSpecial: true) == [101, 102])
    }

    @Test(
        "byte-level byte pairs of a family",
        arguments: [("deepseek3", "deepseek-v3"), ("coder", "deepseek-coder"), ("gpt4o", "gpt-4o")])
    func byteLevel(name: String, pre: String) throws {
        let fixture = try TokenizerFixture(name)
        let model = try #require(fixture.description["model"] as? [String: Any])
        let merges = try #require(model["merges"] as? [[String]]).map { $0.joined(separator: " ") }
        let added = try #require(fixture.description["added_tokens"] as? [[String: Any]])
        var tokens = try vocabulary(fixture)
        var special: Set<String> = []
        for token in added {
            let text = try #require(token["content"] as? String)
            if !tokens.contains(text) { tokens.append(text) }
            special.insert(text)
        }
        let tokenizer = try TokenizerLoader.load(
            gguf: GGUFMetadata([
                "tokenizer.ggml.model": .string("gpt2"), "tokenizer.ggml.pre": .string(pre),
                "tokenizer.ggml.tokens": strings(tokens), "tokenizer.ggml.merges": strings(merges),
                "tokenizer.ggml.token_type": integers(tokens.map { special.contains($0) ? 3 : 1 }),
            ]))
        for item in fixture.cases {
            #expect(
                try tokenizer.encode(item.text, parseSpecial: true, addSpecial: false) == item.ids,
                "\(item.text.debugDescription)")
        }
    }
}
