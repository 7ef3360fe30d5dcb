import Testing
import Tokenization

@Suite("TokenizedLines")
struct TokenizedLinesTests {
    @Test("lines come out whatever pieces they come in")
    func pieces() throws {
        let tokenizer = try TokenizerFixture("llama3").tokenizer()
        let input = Array("\"a\"\n  \"\\u00e9\\ud83d\\ude00 x\"\r\n\"\"\n\"<|begin|>last\"".utf8)
        let texts = ["a", "é😀 x", "", "<|begin|>last"]
        for special in [false, true] {
            let expected = try texts.map { text in
                let ids = try tokenizer.encode(text, parseSpecial: true, addSpecial: special)
                return "[" + ids.map(String.init).joined(separator: ",") + "]\n"
            }
            for size in [1, 2, 7, 1000] {
                var lines = TokenizedLines(tokenizer: tokenizer, addsSpecial: special)
                for start in stride(from: 0, to: input.count, by: size) {
                    try lines.read(input[start..<min(start + size, input.count)])
                }
                try lines.finish()
                #expect(String(decoding: lines.output, as: UTF8.self) == expected.joined())
            }
        }
    }

    @Test(
        "a line that is no JSON string is named, and not repeated",
        arguments: ["secret", "[\"secret\"]", "\"secret", "", "\"secret\" \"x\"", "\"secret\\ud800\""])
    func badLine(text: String) throws {
        var lines = TokenizedLines(tokenizer: try TokenizerFixture("llama3").tokenizer(), addsSpecial: false)
        #expect {
            try lines.read("\"a\"\n\"b\"\n\(text)\n\"c\"\n".utf8)
        } throws: { error in
            let error = error as? TokenizedLines.LineError
            return error?.line == 3 && error?.description.contains("secret") == false
        }
        #expect(String(decoding: lines.output, as: UTF8.self).filter { $0 == "\n" }.count == 2)
    }
}
