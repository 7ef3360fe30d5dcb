/// Turns tokens' texts back into text, as the `decoder` of a tokenizer.json describes it.
struct TokenDecoder: Sendable {
    enum Step: Sendable {
        /// Characters of `ByteAlphabet` to bytes.
        case byteLevel
        /// `<0xE2>` to the byte.
        case byteFallback
        /// All tokens become one text.
        case fuse
        case replace(TextPattern, with: String)
        /// Takes up to so many `content` from the start and the end of each text.
        case strip(content: Unicode.Scalar, start: Int, end: Int)
        /// The mark becomes a space; those of the first token go when a mark was put before the text.
        case metaspace(replacement: String, dropsFirst: Bool)
        case wordPiece(prefix: String, cleansUp: Bool)
        /// The suffix of a word's last token becomes a space, or nothing at the end.
        case wordSuffix(String)
    }

    /// nil: tokens are joined with spaces.
    let steps: [Step]?

    /// Most bytes that replacing may make of one token; what would be longer stays as it is. The same in a stream, for each
    /// token is decoded there by itself.
    private static let maxTokenBytes = 1 << 12

    /// The text of `tokens`. Bytes that are no UTF-8 become U+FFFD.
    func decode(_ tokens: [String]) -> String {
        guard let steps else { return tokens.joined(separator: " ") }
        let byteCount = tokens.reduce(0) { $0 + $1.utf8.count }
        let budget = TextBudget(byteCount: byteCount)
        // Fused texts may become as long as their tokens may together.
        let limit = Self.maxTokenBytes + 4 * byteCount
        return steps.reduce(tokens) { tokens, step in
            Self.apply(step, to: tokens, tokens.count > 1 ? Self.maxTokenBytes : limit, budget)
        }.joined()
    }

    private static func apply(_ step: Step, to tokens: [String], _ limit: Int, _ budget: TextBudget) -> [String] {
        switch step {
        case .byteLevel: return [String(decoding: tokens.flatMap(alphabetBytes), as: UTF8.self)]
        case .byteFallback: return joiningBytes(tokens)
        case .fuse: return [tokens.joined()]
        default:
            return tokens.enumerated().map { index, token in
                text(of: token, step, isFirst: index == 0, isLast: index == tokens.count - 1, limit, budget)
            }
        }
    }

    /// Runs of byte tokens become their text, or as many U+FFFD when they are no UTF-8.
    private static func joiningBytes(_ tokens: [String]) -> [String] {
        var result: [String] = []
        var bytes: [UInt8] = []
        func flush() {
            if bytes.isEmpty { return }
            if let text = String(validating: bytes, as: UTF8.self) {
                result.append(text)
            } else {
                result += [String](repeating: "\u{FFFD}", count: bytes.count)
            }
            bytes = []
        }
        for token in tokens {
            if let byte = ByteFallback.byte(of: token) {
                bytes.append(byte)
            } else {
                flush()
                result.append(token)
            }
        }
        flush()
        return result
    }

    private static func alphabetBytes(_ token: String) -> [UInt8] {
        var token = token
        return token.withUTF8 { ByteAlphabet.decode($0) ?? Array($0) }
    }

    /// What a step that looks at one token at a time makes of it.
    private static func text(
        of token: String, _ step: Step, isFirst: Bool, isLast: Bool, _ limit: Int, _ budget: TextBudget
    ) -> String {
        func replacing(_ pattern: TextPattern, _ content: String) -> String {
            pattern.replacingMatches(in: token, with: content, atMost: max(limit, token.utf8.count), budget) ?? token
        }
        switch step {
        case .byteLevel, .byteFallback, .fuse: return token
        case .replace(let pattern, let content): return replacing(pattern, content)
        case .strip(let content, let start, let end):
            var scalars = token.unicodeScalars[...]
            var (start, end) = (start, end)
            while start > 0, scalars.first == content { (_, start) = (scalars.removeFirst(), start - 1) }
            while end > 0, scalars.last == content { (_, end) = (scalars.removeLast(), end - 1) }
            return String(scalars)
        case .metaspace(let replacement, let dropsFirst):
            let space = isFirst && dropsFirst ? "" : " "
            return replacing(.literal(Array(replacement.utf8)), space)
        case .wordPiece(let prefix, let cleansUp):
            var text = token
            if !isFirst {
                let continues = token.utf8.starts(with: prefix.utf8)
                text =
                    continues ? String(decoding: token.utf8.dropFirst(prefix.utf8.count), as: UTF8.self) : " " + token
            }
            return cleansUp ? cleaned(text, budget) : text
        case .wordSuffix(let suffix):
            return replacing(.literal(Array(suffix.utf8)), isLast ? "" : " ")
        }
    }

    private static let cleanups = [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ]

    private static func cleaned(_ text: String, _ budget: TextBudget) -> String {
        cleanups.reduce(text) { text, rule in
            TextPattern.literal(Array(rule.0.utf8)).replacingMatches(in: text, with: rule.1, atMost: .max, budget)
                ?? text
        }
    }

    /// The bytes that a token stands for in a stream; `decode` is these bytes back to back, but for how it marks what is
    /// no UTF-8 and for what the last token of a text drops.
    func bytes(of token: String, isFirst: Bool) -> [UInt8] {
        guard let steps else { return Array((isFirst ? token : " " + token).utf8) }
        let budget = TextBudget(step: token.utf8.count)
        var text = token
        var isFused = false
        for step in steps {
            switch step {
            case .byteLevel: return Self.alphabetBytes(text)
            case .byteFallback: if let byte = ByteFallback.byte(of: text) { return [byte] }
            case .fuse: isFused = true
            case .strip(let content, let start, let end):
                // After fusing, only the ends of the whole text are stripped.
                if isFused && !isFirst { continue }
                text = Self.text(
                    of: text, .strip(content: content, start: start, end: isFused ? 0 : end), isFirst: isFirst,
                    isLast: false, Self.maxTokenBytes, budget)
            default: text = Self.text(of: text, step, isFirst: isFirst, isLast: false, Self.maxTokenBytes, budget)
            }
        }
        return Array(text.utf8)
    }
}

/// Tokens that stand for one byte: `<0x00>` to `<0xFF>`.
enum ByteFallback {
    static func byte(of token: String) -> UInt8? {
        let bytes = Array(token.utf8)
        guard bytes.count == 6, bytes.starts(with: "<0x".utf8), bytes[5] == UInt8(ascii: ">"),
            bytes[3] != UInt8(ascii: "+")
        else { return nil }
        return UInt8(token.dropFirst(3).dropLast(), radix: 16)
    }

    static let texts: [String] = (0..<256).map { byte in
        let digits = String(byte, radix: 16, uppercase: true)
        return "<0x\(digits.count == 1 ? "0" : "")\(digits)>"
    }

    /// The tokens of all bytes, when the vocabulary has them all.
    static func tokens(_ id: (String) -> UInt32?) -> [UInt32]? {
        let ids = texts.compactMap(id)
        return ids.count == 256 ? ids : nil
    }
}
