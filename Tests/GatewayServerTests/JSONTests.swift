import GatewayServer
import Testing

struct JSONTests {
    @Test(
        "documents read and written again are the same",
        arguments: [
            "null", "true", "[]", "{}", "[1,-2,3.5,1e-05]", #"{"a":[{"b":null},"c"],"d":{"e":"f"}}"#,
            #""\"\\\n\r\t\u0001é🦑""#, "[[[[[[]]]]]]", "-0.25", "9223372036854775807",
        ])
    func roundTrip(_ text: String) throws {
        #expect(try JSONParser.parse(text).text == text)
    }

    @Test("no line break of Unicode is written raw, and what looks like one is")
    func lineBreaks() throws {
        let text = "a\u{2028}b\u{2029}c\u{85}d\u{B}e\u{C}f\u{2027}é\u{C2}\u{E2}"
        let written = JSONValue.string(text).text
        #expect(written == "\"a\\u2028b\\u2029c\\u0085d\\u000be\\u000cf\u{2027}é\u{C2}\u{E2}\"")
        #expect(!written.contains { $0.isNewline })
        #expect(try JSONParser.parse(written).string == text)
    }

    @Test("escapes, surrogates and their halves become text")
    func escapes() throws {
        let value = try JSONParser.parse(#""\ud83e\udd91 \u00e9 \/ \ud83e x \udd91""#)
        #expect(value.string == "🦑 é / \u{FFFD} x \u{FFFD}")
    }

    @Test("space and a byte order mark around a document do not matter")
    func space() throws {
        #expect(try JSONParser.parse("\u{FEFF} \n\t[ 1 , 2 ] \r\n") == [1, 2])
    }

    @Test(
        "broken documents are refused with their position",
        arguments: [
            ("", 1, 1), ("{", 1, 2), ("{\"a\":1,}", 1, 8), ("[1,\n 2,\n x]", 3, 2), ("nul", 1, 1), ("01", 1, 2),
            ("\"a\nb\"", 1, 3), ("[1] x", 1, 5), ("1e999", 1, 1), ("\"\\q\"", 1, 3), ("{\"a\" 1}", 1, 6), ("-", 1, 2),
            ("{'a':1}", 1, 2),
        ])
    func broken(_ text: String, _ line: Int, _ column: Int) {
        let error = #expect(throws: JSONSyntaxError.self) { try JSONParser.parse(text) }
        #expect(error?.line == line)
        #expect(error?.column == column)
    }

    @Test("bytes that are no UTF-8 are refused")
    func invalidUTF8() {
        #expect(throws: JSONSyntaxError.self) { try JSONParser.parse([0x22, 0xFF, 0x22]) }
        #expect(throws: JSONSyntaxError.self) { try JSONParser.parse([0x22, 0x5C, 0x6E, 0xC3, 0x22]) }
    }

    @Test("nesting is bounded")
    func depth() throws {
        let depth = JSONParser.maximumDepth
        _ = try JSONParser.parse(String(repeating: "[", count: depth) + String(repeating: "]", count: depth))
        #expect(throws: JSONSyntaxError.self) { try JSONParser.parse(String(repeating: "[", count: 100_000)) }
    }

    @Test("mutated documents never crash the parser")
    func mutations() {
        var generator = SplitMix(state: 7)
        let seed = Array(#"{"a":[1,2.5e3,"x\u00e9\n"],"b":{"c":null,"d":true}}"#.utf8)
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = seed
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let index = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[index] = UInt8.random(in: .min ... .max, using: &generator)
                case 1: bytes.remove(at: index)
                default: bytes.insert(UInt8.random(in: 0x20...0x7E, using: &generator), at: index)
                }
            }
            if let value = try? JSONParser.parse(bytes) {
                accepted += 1
                #expect((try? JSONParser.parse(value.text)) == value)
            }
        }
        #expect(accepted > 100)
    }

    @Test("floats are written shortest and never as something that is no JSON")
    func floats() {
        var writer = JSONWriter()
        writer.array { array in
            for value in [Float(-0.86548), .infinity, -.infinity, .nan, 0] { array.float(value) }
        }
        #expect(writer.text == "[-0.86548,3.4028235e+38,-3.4028235e+38,0.0,0.0]")
    }
}

/// A small seeded generator.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
