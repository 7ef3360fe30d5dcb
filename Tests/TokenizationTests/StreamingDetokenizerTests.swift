import ModelFiles
import Testing
import Tokenization

@Suite("StreamingDetokenizer")
struct StreamingDetokenizerTests {
    @Test("the pieces of a stream are the whole text, each of whole characters")
    func pieces() throws {
        let tokenizer = try TokenizationFixture.bytePair()
        for item in try TokenizationFixture.cases("bpe-smollm.json") {
            var detokenizer = StreamingDetokenizer(tokenizer: tokenizer, skipSpecial: false)
            var text = ""
            for id in item.ids {
                let piece = detokenizer.append(id)
                #expect(!piece.unicodeScalars.contains("\u{FFFD}") || item.text.unicodeScalars.contains("\u{FFFD}"))
                text += piece
            }
            text += detokenizer.finish()
            #expect(text == tokenizer.decode(item.ids, skipSpecial: false))
        }
    }

    @Test("random token streams give the text that decoding all at once gives")
    func random() throws {
        let tokenizer = try TokenizationFixture.bytePair()
        // Single-byte tokens make broken characters in every way there is.
        let bytes = (0..<49152).map(UInt32.init).filter { tokenizer.bytes(of: $0).contains { $0 >= 0x80 } }
        var random = SplitMix64(state: 99)
        for skipSpecial in [true, false] {
            for _ in 0..<500 {
                let ids = (0..<20).map { _ in
                    Int.random(in: 0..<10, using: &random) == 0
                        ? UInt32.random(in: 0..<300, using: &random) : bytes.randomElement(using: &random) ?? 0
                }
                var detokenizer = StreamingDetokenizer(tokenizer: tokenizer, skipSpecial: skipSpecial)
                let text = ids.map { detokenizer.append($0) }.joined() + detokenizer.finish()
                #expect(text == tokenizer.decode(ids, skipSpecial: skipSpecial))
            }
        }
    }

    @Test("a character cut in two comes out with its last byte")
    func cutCharacter() throws {
        let tokenizer = try TokenizationFixture.bytePair()
        let single = { (byte: UInt8) in
            try #require((0..<49152).map(UInt32.init).first { tokenizer.bytes(of: $0) == [byte] })
        }
        var detokenizer = StreamingDetokenizer(tokenizer: tokenizer, skipSpecial: true)
        #expect(detokenizer.append(try single(0xF0)) == "")
        #expect(detokenizer.append(try single(0x9F)) == "")
        #expect(detokenizer.append(try single(0x98)) == "")
        #expect(detokenizer.append(try single(0x80)) == "😀")
        #expect(detokenizer.append(try single(0xE2)) == "")
        #expect(detokenizer.append(try single(0x41)) == "\u{FFFD}A")
        #expect(detokenizer.append(try single(0xE2)) == "")
        #expect(detokenizer.finish() == "\u{FFFD}")
        #expect(detokenizer.finish() == "")
    }
}
