/// The control tokens of a tokeniser, found in prompts of which parts were written by others.
///
/// A prompt is the template's text with the request's text in it. Both are tokenised together, so that ids are those of
/// the whole text; but a control token counts only where every byte of it is the template's own. What a user writes
/// that looks like one stays text.
package struct ControlTokens: Sendable {
    private var trie = SpecialTokenTrie()
    /// Tokens that tokenisers find in every text, but that frame turns all the same: `<｜User｜>` in DeepSeek's files.
    private var foundInEveryText: Set<UInt32> = []

    /// The control tokens of `tokenizer`; walks its whole vocabulary once.
    package init(_ tokenizer: any Tokenizer) {
        for token in 0..<UInt32(tokenizer.vocabularySize) {
            if let text = tokenizer.specialText(of: token) {
                trie.insert(text.utf8, token: token)
            } else {
                let bytes = tokenizer.bytes(of: token)
                guard Self.looksLikeControl(bytes) else { continue }
                trie.insert(bytes, token: token)
                foundInEveryText.insert(token)
            }
        }
    }

    private static func looksLikeControl(_ bytes: [UInt8]) -> Bool {
        guard bytes.count > 4, bytes.count < 128 else { return false }
        let wide = Array("｜".utf8)
        return (bytes.starts(with: "<|".utf8) && bytes.suffix(2).elementsEqual("|>".utf8))
            || (bytes.starts(with: [0x3C] + wide) && bytes.suffix(4).elementsEqual(wide + [0x3E]))
            || ["<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]"].contains { bytes.elementsEqual($0.utf8) }
    }

    /// A token in the text.
    private struct Match {
        let token: UInt32
        let range: Range<Int>
        let isForged: Bool
    }

    /// The ids of a rendered prompt. Nothing is added around it: the template writes what the model expects.
    ///
    /// - Parameter untrusted: UTF-8 offsets of what is not the template's own: ascending, apart from each other.
    /// - Throws: as ``Tokenizer/encode(_:parseSpecial:addSpecial:)``.
    package func encode(_ text: String, untrusted: [Range<Int>], with tokenizer: any Tokenizer) throws -> [UInt32] {
        let matches = try matches(in: text, untrusted)
        guard matches.contains(where: \.isForged) else {
            return try tokenizer.encode(text, parseSpecial: true, addSpecial: false)
        }
        let bytes = Array(text.utf8)
        var ids: [UInt32] = []
        var start = 0
        func appendPlain(upTo end: Int) throws {
            guard start < end else { return }
            ids += try tokenizer.encode(
                String(decoding: bytes[start..<end], as: UTF8.self), parseSpecial: false, addSpecial: false)
            start = end
        }
        for match in matches {
            if !match.isForged {
                try appendPlain(upTo: match.range.lowerBound)
                ids.append(match.token)
                start = match.range.upperBound
            } else if foundInEveryText.contains(match.token) {
                // Cut after its first character it is not found.
                try appendPlain(upTo: match.range.lowerBound + 1)
            }
        }
        try appendPlain(upTo: bytes.count)
        return ids
    }

    /// Tokens in order. Forged ones may overlap others, since they take nothing away.
    private func matches(in text: String, _ untrusted: [Range<Int>]) throws -> [Match] {
        var text = text
        let budget = TextBudget(byteCount: text.utf8.count)
        return try text.withUTF8 { bytes in
            var matches: [Match] = []
            var start = 0
            var nextMark = 0
            while let (token, range) = try trie.firstMatch(in: bytes, range: start..<bytes.count, budget) {
                while nextMark < untrusted.count, untrusted[nextMark].upperBound <= range.lowerBound { nextMark += 1 }
                let mark = nextMark < untrusted.count ? untrusted[nextMark] : bytes.count..<bytes.count
                guard mark.overlaps(range) else {
                    matches.append(Match(token: token, range: range, isForged: false))
                    start = range.upperBound
                    continue
                }
                matches.append(Match(token: token, range: range, isForged: true))
                start = range.lowerBound + 1
                // A shorter token of the template's own may stand before the mark.
                let own = range.lowerBound..<max(mark.lowerBound, range.lowerBound)
                if let shorter = try trie.firstMatch(in: bytes, range: own, budget),
                    shorter.range.lowerBound == own.lowerBound
                {
                    matches.append(Match(token: shorter.token, range: shorter.range, isForged: false))
                    start = shorter.range.upperBound
                }
            }
            return matches
        }
    }
}
