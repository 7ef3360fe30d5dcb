import Foundation

/// BERT's WordPiece: words by `BasicTokenizer`, then the longest vocabulary entry that each rest of a word starts with.
///
/// A word of more than 100 characters, or one that the vocabulary cannot spell, is `[UNK]`.
package struct WordPieceTokenizer: Tokenizer {
    /// A token and the bytes of the text it came from.
    package struct Piece: Sendable, Equatable {
        package let token: UInt32
        /// UTF-8 byte range in the text; for several tokens of one word, the word's.
        package let range: Range<Int>
    }

    private static let maxWordScalars = 100
    private static let maxFileBytes = 1 << 26

    /// The longest output of `encode` with special tokens, `[CLS]` and `[SEP]` included; longer texts are cut.
    package let maxLength: Int
    package let padTokenID: UInt32?
    private let tokens: [String]
    private let model: WordPieceModel
    private let specialTokens: [String: UInt32]
    private let specialTrie: SpecialTokenTrie
    private let basic: BasicTokenizer
    private let classification: UInt32
    private let separator: UInt32

    /// Reads a vocabulary: one token a line, the line number is its id.
    ///
    /// - Parameters:
    ///   - vocabularyPath: path of `vocab.txt`.
    ///   - maxLength: most tokens that `encode` gives with special tokens, at least 2.
    ///   - lowercases: whether the model is an uncased one.
    /// - Throws: `TokenizationError` with `inputOutput`, or `malformed` when `[UNK]`, `[CLS]` or `[SEP]` is missing
    ///   or a token occurs twice.
    package init(vocabularyPath: String, maxLength: Int = 256, lowercases: Bool = true) throws {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: vocabularyPath))
        } catch {
            throw TokenizationError(
                code: .inputOutput, message: "\(vocabularyPath): cannot be read", cause: error)
        }
        guard data.count <= Self.maxFileBytes, let text = String(validating: data, as: UTF8.self) else {
            throw TokenizationError(
                code: .malformed,
                message: "\(vocabularyPath): \(data.count) bytes, expected UTF-8 of at most \(Self.maxFileBytes) bytes")
        }
        var lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .map { line in String(Substring(line.last == UInt8(ascii: "\r") ? line.dropLast() : line)) }
        if lines.last == "" { lines.removeLast() }
        try self.init(tokens: lines, maxLength: maxLength, lowercases: lowercases, source: vocabularyPath)
    }

    /// A tokeniser with the given tokens, whose ids are their positions. `source` is named in errors.
    package init(tokens: [String], maxLength: Int = 256, lowercases: Bool = true, source: String = "vocabulary") throws
    {
        func malformed(_ message: String) -> TokenizationError {
            TokenizationError(code: .malformed, message: "\(source): \(message)")
        }
        guard maxLength >= 2 else { throw malformed("maximum length \(maxLength), expected at least 2") }
        var starts = ByteStringTable(capacity: tokens.count)
        var continuations = ByteStringTable(capacity: tokens.count)
        for (index, token) in tokens.enumerated() {
            let isContinuation = token.utf8.starts(with: "##".utf8) && token.utf8.count > 2
            let bytes = Array(isContinuation ? token.utf8.dropFirst(2) : token.utf8[...])
            let isNew = bytes.withUnsafeBufferPointer {
                isContinuation
                    ? continuations.insert($0, id: UInt32(index)) : starts.insert($0, id: UInt32(index))
            }
            guard isNew else { throw malformed("line \(index + 1): the token occurs twice") }
        }
        var specialTokens: [String: UInt32] = [:]
        var specialTrie = SpecialTokenTrie()
        for text in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] {
            guard let id = Array(text.utf8).withUnsafeBufferPointer({ starts.id(of: $0) }) else { continue }
            specialTokens[text] = id
            specialTrie.insert(text.utf8, token: id)
        }
        guard let unknown = specialTokens["[UNK]"], let classification = specialTokens["[CLS]"],
            let separator = specialTokens["[SEP]"]
        else { throw malformed("expected the tokens [UNK], [CLS] and [SEP]") }
        self.tokens = tokens
        self.maxLength = maxLength
        model = WordPieceModel(
            starts: starts, continuations: continuations, unknown: unknown, maxScalars: Self.maxWordScalars)
        self.specialTokens = specialTokens
        self.specialTrie = specialTrie
        self.classification = classification
        self.separator = separator
        padTokenID = specialTokens["[PAD]"]
        basic = BasicTokenizer(lowercases: lowercases)
    }

    // MARK: - Encoding

    /// As the protocol says; with `addSpecial` the result is `[CLS] ... [SEP]`, cut to `maxLength`.
    package func encode(_ text: String, parseSpecial: Bool, addSpecial: Bool) -> [UInt32] {
        guard addSpecial else {
            return pieces(text, parseSpecial: parseSpecial).map(\.token)
        }
        let body = pieces(text, parseSpecial: parseSpecial, limit: maxLength - 2)
        return [classification] + body.map(\.token) + [separator]
    }

    package func count(_ text: String) -> Int { pieces(text).count }

    /// The tokens of `text` with where each came from, without `[CLS]` and `[SEP]`, at most `limit`.
    package func pieces(_ text: String, parseSpecial: Bool = false, limit: Int = .max) -> [Piece] {
        var text = text
        var pieces: [Piece] = []
        // The tokens that are looked for are the five short ones above.
        let budget = TextBudget(byteCount: text.utf8.count)
        text.withUTF8 { bytes in
            var start = 0
            while start < bytes.count, pieces.count < limit {
                let match =
                    parseSpecial ? try? specialTrie.firstMatch(in: bytes, range: start..<bytes.count, budget) : nil
                let end = match?.range.lowerBound ?? bytes.count
                basic.forEachWord(in: bytes, range: start..<end) { word in
                    split(word, into: &pieces)
                    return pieces.count < limit
                }
                guard let match else { break }
                pieces.append(Piece(token: match.token, range: match.range))
                start = match.range.upperBound
            }
        }
        if pieces.count > limit { pieces.removeLast(pieces.count - limit) }
        return pieces
    }

    private func split(_ word: BasicTokenizer.Word, into pieces: inout [Piece]) {
        var ids: [UInt32] = []
        word.utf8.withUnsafeBufferPointer { try? model.encode($0, scalarCount: word.scalarCount, into: &ids, nil) }
        for id in ids { pieces.append(Piece(token: id, range: word.range)) }
    }

    // MARK: - Decoding and special tokens

    package var vocabularySize: Int { tokens.count }
    package var bosTokenID: UInt32? { classification }
    package var eosTokenID: UInt32? { separator }
    package var endOfGenerationTokenIDs: Set<UInt32> { [separator] }

    /// The token's text, with a space before it when it starts a word.
    package func bytes(of token: UInt32) -> [UInt8] {
        guard Int(token) < tokens.count, !isSpecial(token) else { return [] }
        let text = tokens[Int(token)]
        let isContinuation = text.utf8.starts(with: "##".utf8) && text.utf8.count > 2
        return isContinuation ? Array(text.utf8.dropFirst(2)) : [UInt8(ascii: " ")] + text.utf8
    }

    package func specialText(of token: UInt32) -> String? {
        guard Int(token) < tokens.count, specialTokens[tokens[Int(token)]] == token else { return nil }
        return tokens[Int(token)]
    }

    package func specialToken(_ text: String) -> UInt32? { specialTokens[text] }
}
