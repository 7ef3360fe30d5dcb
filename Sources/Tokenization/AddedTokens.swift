/// A token that is found in text before anything else is done to it.
struct AddedToken: Sendable, Equatable {
    let id: UInt32
    /// As text is decoded to; the normalised form of one that is looked for after normalisation.
    var text: String
    /// Whether it is a control token, which stands for no text of its own.
    var isSpecial = true
    /// Whether it is looked for in normalised text.
    var isNormalized = false
    /// Whether it must not touch a word character.
    var isSingleWord = false
    /// Whether it takes the white space before, and after, with it.
    var stripsLeft = false
    var stripsRight = false
}

/// The added tokens of a vocabulary, and where they stand in a text.
///
/// As in the `tokenizers` library: tokens that are not normalised are found in the text as it is, the others in what is
/// left after normalisation; the longest that starts first wins; one that is not wanted (special, while special tokens
/// are text) still hides what it overlaps.
struct AddedTokens: Sendable {
    /// A part of a text.
    enum Part {
        case text(Range<Int>)
        case token(UInt32)
    }

    private static let maxTokenBytes = 1024
    private static let maxBytes = 1 << 22

    private(set) var byID: [UInt32: AddedToken] = [:]
    private var byText: [TokenText: UInt32] = [:]
    private var raw = SpecialTokenTrie()
    private var normalized = SpecialTokenTrie()

    /// - Parameter normalize: the tokeniser's normalisation, for the tokens that are looked for after it.
    /// - Throws: `unsupported` for tokens of a length that no vocabulary has: looking for them would take time by it.
    init(_ tokens: [AddedToken] = [], normalize: (String) throws -> String = { $0 }) throws {
        var byteCount = 0
        for var token in tokens where !token.text.isEmpty {
            byteCount += token.text.utf8.count
            guard token.text.utf8.count <= Self.maxTokenBytes, byteCount <= Self.maxBytes else {
                throw TokenizationError(
                    code: .unsupported,
                    message: "an added token of \(token.text.utf8.count) bytes, or too many; expected at most "
                        + "\(Self.maxTokenBytes) bytes, and \(Self.maxBytes) together")
            }
            byText[TokenText(token.text)] = token.id
            if token.isNormalized { token.text = try normalize(token.text) }
            byID[token.id] = token
            if token.isNormalized {
                normalized.insert(token.text.utf8, token: token.id)
            } else {
                raw.insert(token.text.utf8, token: token.id)
            }
        }
    }

    func id(of text: String) -> UInt32? { byText[TokenText(text)] }

    var hasNormalized: Bool { !normalized.isEmpty }

    /// Calls `body` with the parts of `range`, in order; none is empty.
    func split(
        _ reader: ScalarReader, _ range: Range<Int>, isNormalized: Bool, parseSpecial: Bool, _ budget: TextBudget,
        _ body: (Part) throws -> Void
    ) throws {
        let trie = isNormalized ? normalized : raw
        var done = range.lowerBound
        var search = range.lowerBound
        while let match = try trie.firstMatch(in: reader.bytes, range: search..<range.upperBound, budget) {
            search = match.range.upperBound
            guard let token = byID[match.token], parseSpecial || !token.isSpecial,
                let taken = takenRange(match.range, of: token, reader, range, notBefore: done)
            else { continue }
            if done < taken.lowerBound { try body(.text(done..<taken.lowerBound)) }
            try body(.token(token.id))
            done = taken.upperBound
        }
        if done < range.upperBound { try body(.text(done..<range.upperBound)) }
    }

    /// The bytes that a token at `match` takes; nil when it may not stand there.
    private func takenRange(
        _ match: Range<Int>, of token: AddedToken, _ reader: ScalarReader, _ range: Range<Int>, notBefore done: Int
    ) -> Range<Int>? {
        var (start, end) = (match.lowerBound, match.upperBound)
        if token.isSingleWord {
            if start > range.lowerBound, isWord(reader, at: reader.index(before: start)) { return nil }
            if end < range.upperBound, isWord(reader, at: end) { return nil }
        }
        if token.stripsLeft {
            while start > max(done, range.lowerBound), isSpace(reader, at: reader.index(before: start)) {
                start = reader.index(before: start)
            }
        }
        if token.stripsRight {
            while end < range.upperBound, isSpace(reader, at: end) { end += reader.scalar(at: end).length }
        }
        return start..<end
    }

    private func isSpace(_ reader: ScalarReader, at index: Int) -> Bool {
        reader.classified(at: index).class.contains(.space)
    }

    private func isWord(_ reader: ScalarReader, at index: Int) -> Bool {
        ScalarSet.rustWord.contains(reader.scalar(at: index).value)
    }
}
