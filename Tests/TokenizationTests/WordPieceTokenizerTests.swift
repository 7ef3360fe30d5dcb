import Testing
import Tokenization

@Suite("WordPieceTokenizer")
struct WordPieceTokenizerTests {
    @Test("ids equal those of the reference run of the encoder")
    func reference() throws {
        let tokenizer = try TokenizationFixture.wordPiece()
        for item in try TokenizationFixture.cases("minilm-reference.json") {
            #expect(
                tokenizer.encode(item.text, parseSpecial: true, addSpecial: true) == item.ids,
                "\(item.text.debugDescription)")
        }
    }

    @Test("ids equal those of the tokenizers library")
    func library() throws {
        let tokenizer = try TokenizationFixture.wordPiece()
        let cases = try TokenizationFixture.cases("wordpiece-minilm.json")
        #expect(cases.count > 200)
        for item in cases {
            let ids = tokenizer.encode(item.text, parseSpecial: true, addSpecial: false)
            #expect(ids == item.ids, "\(item.text.debugDescription)")
        }
    }

    @Test("long text is cut to the maximum length, with its last token kept")
    func truncation() throws {
        let tokenizer = try TokenizationFixture.wordPiece(maxLength: 16)
        let text = String(repeating: "hello ", count: 100)
        let ids = tokenizer.encode(text, parseSpecial: false, addSpecial: true)
        #expect(ids == [101] + [UInt32](repeating: 7592, count: 14) + [102])
        #expect(tokenizer.count(text) == 100)
        // A word of several pieces is cut inside, as everywhere else.
        let long = tokenizer.encode(
            "unaffableunaffableunaffableunaffableunaffable", parseSpecial: false, addSpecial: true)
        #expect(long.count == 16)
    }

    @Test("pieces know where in the text they come from")
    func offsets() throws {
        let tokenizer = try TokenizationFixture.wordPiece()
        let text = "Héllo,  Wörld! 你好"
        let pieces = tokenizer.pieces(text)
        let sources = pieces.map { piece in String(decoding: Array(text.utf8)[piece.range], as: UTF8.self) }
        #expect(sources == ["Héllo", ",", "Wörld", "!", "你", "好"])
    }

    @Test("the text of special tokens is plain text unless special tokens are parsed")
    func specialTokens() throws {
        let tokenizer = try TokenizationFixture.wordPiece()
        #expect(tokenizer.encode("[SEP]", parseSpecial: true, addSpecial: false) == [102])
        #expect(!tokenizer.encode("[SEP]", parseSpecial: false, addSpecial: false).contains(102))
        #expect(tokenizer.padTokenID == 0)
        #expect(tokenizer.isSpecial(101))
        #expect(!tokenizer.isSpecial(7592))
    }

    @Test("a vocabulary without its special tokens, or with a token twice, is refused")
    func refused() {
        #expect(throws: TokenizationError.self) { try WordPieceTokenizer(tokens: ["a", "b"]) }
        #expect(throws: TokenizationError.self) {
            try WordPieceTokenizer(tokens: ["[UNK]", "[CLS]", "[SEP]", "a", "a"])
        }
        #expect(throws: TokenizationError.self) { try WordPieceTokenizer(vocabularyPath: "/nonexistent/vocab.txt") }
    }
}
