/// Turns tokens into text as they come, never handing out half a UTF-8 character.
///
/// The pieces together are `decode` of all the tokens. Bytes that can still become a character wait for the next token;
/// bytes that cannot become U+FFFD.
package struct StreamingDetokenizer: Sendable {
    private let tokenizer: any Tokenizer
    private let skipSpecial: Bool
    /// The start of a character whose rest has not come yet; at most three bytes.
    private var pending: [UInt8] = []
    /// Whether no token has given text yet.
    private var isFirst = true

    /// - Parameter skipSpecial: whether special tokens give no text.
    package init(tokenizer: any Tokenizer, skipSpecial: Bool) {
        self.tokenizer = tokenizer
        self.skipSpecial = skipSpecial
    }

    /// The text that `token` completes; often empty in the middle of a character.
    package mutating func append(_ token: UInt32) -> String {
        if let special = tokenizer.specialText(of: token) {
            if skipSpecial { return "" }
            isFirst = false
            return finish() + special
        }
        pending += tokenizer.bytes(of: token, isFirst: isFirst)
        isFirst = false
        let complete = pending.count - Self.incompleteSuffixLength(pending)
        let text = String(decoding: pending[..<complete], as: UTF8.self)
        pending.removeFirst(complete)
        return text
    }

    /// What is left when no more tokens come: U+FFFD for a character that was cut off, else nothing.
    package mutating func finish() -> String {
        defer { pending.removeAll() }
        return String(decoding: pending, as: UTF8.self)
    }

    /// How many bytes at the end are the start of a UTF-8 character that is not complete.
    static func incompleteSuffixLength(_ bytes: [UInt8]) -> Int {
        for length in 1...3 where length <= bytes.count {
            let start = bytes.count - length
            let lead = bytes[start]
            if lead & 0xC0 == 0x80 { continue }
            let needed: Int
            var second: ClosedRange<UInt8> = 0x80...0xBF
            switch lead {
            case 0xC2...0xDF: needed = 2
            case 0xE0: (needed, second) = (3, 0xA0...0xBF)
            case 0xED: (needed, second) = (3, 0x80...0x9F)
            case 0xE1...0xEF: needed = 3
            case 0xF0: (needed, second) = (4, 0x90...0xBF)
            case 0xF4: (needed, second) = (4, 0x80...0x8F)
            case 0xF1...0xF3: needed = 4
            default: return 0
            }
            guard length < needed, length == 1 || second.contains(bytes[start + 1]) else { return 0 }
            return length
        }
        return 0
    }
}
