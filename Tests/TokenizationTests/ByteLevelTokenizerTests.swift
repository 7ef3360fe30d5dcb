import ModelFiles
import Testing
import Tokenization

@Suite("Byte-level tokeniser")
struct ByteLevelTokenizerTests {
    @Test("ids equal those of the reference run of the demo model")
    func reference() throws {
        let tokenizer = try TokenizationFixture.bytePair()
        for item in try TokenizationFixture.cases("smollm2-reference.json") {
            #expect(try tokenizer.encode(item.text, parseSpecial: true, addSpecial: false) == item.ids)
            #expect(tokenizer.decode(item.ids, skipSpecial: false) == item.text)
        }
    }

    @Test(
        "ids equal those of the tokenizers library for each pre-tokeniser",
        arguments: ["smollm", "gpt-2", "llama-bpe", "qwen2"])
    func library(pre: String) throws {
        let tokenizer = try TokenizationFixture.bytePair(pre: pre)
        let cases = try TokenizationFixture.cases("bpe-\(pre).json")
        #expect(cases.count > 200)
        for item in cases {
            let ids = try tokenizer.encode(item.text, parseSpecial: true, addSpecial: false)
            #expect(ids == item.ids, "\(item.text.debugDescription)")
        }
    }

    @Test("a long text gives the ids of its parts, so that the word cache changes nothing")
    func cache() throws {
        let tokenizer = try TokenizationFixture.bytePair()
        var text = ""
        var ids: [UInt32] = []
        // A part that ends in a special token cannot merge with the next.
        for _ in 0..<3 {
            for item in try TokenizationFixture.cases("bpe-smollm.json") {
                text += item.text + "<|im_end|>"
                ids += item.ids + [2]
            }
        }
        #expect(text.utf8.count > 50_000)
        #expect(try tokenizer.encode(text, parseSpecial: true, addSpecial: false) == ids)
    }

    @Test("random text comes back from its ids")
    func roundTrip() throws {
        let tokenizer = try TokenizationFixture.bytePair()
        var random = SplitMix64(state: 7)
        for _ in 0..<500 {
            let text = randomText(&random, count: Int.random(in: 0...60, using: &random))
            let ids = try tokenizer.encode(text, parseSpecial: false, addSpecial: false)
            #expect(ids.allSatisfy { !tokenizer.isSpecial($0) })
            #expect(tokenizer.decode(ids, skipSpecial: true) == text, "\(text.debugDescription)")
        }
    }

    /// Scalars of all planes but those that the vocabulary has no bytes for: planes 4 to 11 and 15 up, six controls.
    private func randomText(_ random: inout SplitMix64, count: Int) -> String {
        var scalars = String.UnicodeScalarView()
        while scalars.count < count {
            let upper: UInt32 = [0x80, 0x800, 0x3000, 0x10000, 0x40000].randomElement(using: &random) ?? 0x80
            guard let scalar = Unicode.Scalar(UInt32.random(in: 0..<upper, using: &random)),
                ![4, 6, 19, 20, 22, 29].contains(scalar.value)
            else { continue }
            scalars.append(scalar)
        }
        return String(scalars)
    }

    @Test("the text of special tokens is plain text unless special tokens are parsed")
    func specialTokens() throws {
        let tokenizer = try TokenizationFixture.bytePair()
        let text = "<|im_start|>user<|im_end|>"
        let parsed = try tokenizer.encode(text, parseSpecial: true, addSpecial: false)
        #expect(parsed.first == 1 && parsed.last == 2)
        let plain = try tokenizer.encode(text, parseSpecial: false, addSpecial: false)
        #expect(plain.allSatisfy { !tokenizer.isSpecial($0) })
        #expect(tokenizer.decode(plain, skipSpecial: true) == text)
        #expect(tokenizer.decode(parsed, skipSpecial: true) == "user")
        #expect(tokenizer.specialToken("<|im_start|>") == 1)
        #expect(tokenizer.specialText(of: 2) == "<|im_end|>")
        #expect(tokenizer.bytes(of: 2).isEmpty)
        #expect(tokenizer.endOfGenerationTokenIDs == [0, 2])
    }

    @Test("BOS and EOS are added when the metadata says so and the caller asks")
    func addSpecial() throws {
        let flags: [String: GGUFValue] = [
            "tokenizer.ggml.add_bos_token": .bool(true), "tokenizer.ggml.add_eos_token": .bool(true),
        ]
        let tokenizer = try TokenizerLoader.load(gguf: try TokenizationFixture.metadata(replacing: flags))
        let ids = try tokenizer.encode("Hi", parseSpecial: false, addSpecial: true)
        #expect(ids.first == 1 && ids.last == 2)
        #expect(try tokenizer.encode("Hi", parseSpecial: false, addSpecial: false) == Array(ids.dropFirst().dropLast()))
        #expect(try TokenizationFixture.bytePair().encode("", parseSpecial: true, addSpecial: true).isEmpty)
    }

    @Test("long words without a break are merged as short ones are", arguments: ["a", "ab", " ", "=-", "é"])
    func longWords(unit: String) throws {
        let tokenizer = try TokenizationFixture.bytePair()
        // Quadratic merging would take minutes here.
        let text = String(repeating: unit, count: 200_000)
        let ids = try tokenizer.encode(text, parseSpecial: false, addSpecial: false)
        #expect(tokenizer.decode(ids, skipSpecial: true) == text)
        #expect(ids.count < text.utf8.count)
    }

    @Test("an id outside the vocabulary has no bytes and is not special")
    func outside() throws {
        let tokenizer = try TokenizationFixture.bytePair()
        #expect(tokenizer.vocabularySize == 49152)
        #expect(tokenizer.bytes(of: 49152).isEmpty)
        #expect(tokenizer.bytes(of: .max).isEmpty)
        #expect(!tokenizer.isSpecial(.max))
        #expect(tokenizer.specialText(of: .max) == nil)
    }

    @Test(
        "metadata that no tokeniser can be made of is refused",
        arguments: [
            ("tokenizer.ggml.model", GGUFValue.string("rwkv"), TokenizationError.Code.unsupported),
            ("tokenizer.ggml.pre", .string("no-such-split"), .unsupported),
            ("tokenizer.ggml.token_type", .array(GGUFArray([1, 1])), .malformed),
            ("tokenizer.ggml.merges", .array(GGUFArray(GGUFStringArray(["h e", "nospace"]))), .malformed),
            ("tokenizer.ggml.merges", .array(GGUFArray(GGUFStringArray(["h \u{1F600}"]))), .malformed),
            ("tokenizer.ggml.eos_token_id", .uint32(49152), .malformed),
            ("tokenizer.ggml.tokens", .array(GGUFArray(GGUFStringArray([]))), .malformed),
        ])
    func refused(key: String, value: GGUFValue, code: TokenizationError.Code) throws {
        let metadata = try TokenizationFixture.metadata(replacing: [key: value])
        #expect { try TokenizerLoader.load(gguf: metadata) } throws: { ($0 as? TokenizationError)?.code == code }
    }
}
