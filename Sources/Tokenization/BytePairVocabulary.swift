import ModelFiles

/// The tables of a byte-pair tokeniser, made once from a GGUF file's metadata and never changed.
///
/// A class, so that tokenisers are cheap to copy.
final class BytePairVocabulary: Sendable {
    /// GGUF's token types.
    private enum Kind: Int {
        case normal = 1
        case unknown = 2
        case control = 3
        case userDefined = 4
        case unused = 5
        case byte = 6
    }

    /// The bytes that all tokens decode to (special tokens: their text), back to back.
    private let byteStorage: [UInt8]
    private let byteEnds: [Int]
    private let controlFlags: [Bool]
    private let controlTokens: [String: UInt32]
    /// Finds control and user-defined tokens in text.
    let allSpecial: SpecialTokenTrie
    /// Finds user-defined tokens only: those are recognised in every text.
    let userDefined: SpecialTokenTrie
    /// The token of each single byte; nil for bytes that the vocabulary does not have.
    let byteTokens: [UInt32?]
    let merges: MergeTable
    /// Words that are one token: those that their own merges lead to, so that looking here first changes nothing.
    let wholeWords: ByteStringTable

    /// The number of tokens.
    var count: Int { byteEnds.count }

    /// - Parameter ignoresMerges: whether a word that is in the vocabulary is one token whatever the merges say.
    init(_ metadata: GGUFMetadata, ignoresMerges: Bool) throws {
        let texts = try metadata.stringArray("tokenizer.ggml.tokens")
        let mergeTexts = try metadata.stringArray("tokenizer.ggml.merges")
        let kinds = try metadata.intsIfPresent("tokenizer.ggml.token_type")
        func malformed(_ message: String) -> TokenizationError {
            TokenizationError(code: .malformed, message: "\(metadata.source): \(message)")
        }
        guard !texts.isEmpty, texts.count <= 1 << 24 else {
            throw malformed("tokenizer.ggml.tokens has \(texts.count) tokens, expected 1 ... \(1 << 24)")
        }
        guard kinds == nil || kinds?.count == texts.count else {
            throw malformed("tokenizer.ggml.token_type has \(kinds?.count ?? 0) entries, expected \(texts.count)")
        }

        var byteStorage: [UInt8] = []
        var byteEnds: [Int] = []
        var controlFlags = [Bool](repeating: false, count: texts.count)
        var controlTokens: [String: UInt32] = [:]
        var allSpecial = SpecialTokenTrie()
        var userDefined = SpecialTokenTrie()
        var ids = ByteStringTable(capacity: texts.count)
        for index in 0..<texts.count {
            let id = UInt32(index)
            let kind = Kind(rawValue: kinds?[index] ?? Kind.normal.rawValue) ?? .normal
            texts.withUTF8(at: index) { text in
                ids.insert(text, id: id)
                switch kind {
                case .control, .unknown, .userDefined:
                    byteStorage.append(contentsOf: text)
                    allSpecial.insert(text, token: id)
                    if kind == .userDefined {
                        userDefined.insert(text, token: id)
                    } else {
                        controlFlags[index] = true
                        controlTokens[String(decoding: text, as: UTF8.self)] = id
                    }
                case .normal, .unused, .byte:
                    // A token outside the byte alphabet was added as plain text.
                    if let bytes = ByteAlphabet.decode(text) {
                        byteStorage.append(contentsOf: bytes)
                    } else {
                        byteStorage.append(contentsOf: text)
                    }
                }
            }
            byteEnds.append(byteStorage.count)
        }

        let byteTokens = ByteAlphabet.scalars.map { scalar in
            Array(String(scalar).utf8).withUnsafeBufferPointer { ids.id(of: $0) }
        }
        guard byteTokens.contains(where: { $0 != nil }) else {
            throw malformed("tokenizer.ggml.tokens has no token for any single byte, expected byte-level tokens")
        }

        let merges = try Self.mergeTable(mergeTexts, ids: ids, malformed: malformed)
        self.byteStorage = byteStorage
        self.byteEnds = byteEnds
        self.controlFlags = controlFlags
        self.controlTokens = controlTokens
        self.allSpecial = allSpecial
        self.userDefined = userDefined
        self.byteTokens = byteTokens
        self.merges = merges

        var wholeWords = ByteStringTable(capacity: texts.count)
        var merger = WordMerger(merges)
        var merged: [UInt32] = []
        byteStorage.withUnsafeBufferPointer { storage in
            for (index, end) in byteEnds.enumerated() where !controlFlags[index] {
                let word = UnsafeBufferPointer(rebasing: storage[(index == 0 ? 0 : byteEnds[index - 1])..<end])
                if !ignoresMerges {
                    merged.removeAll(keepingCapacity: true)
                    merger.merge(word, byteTokens: byteTokens, into: &merged)
                    guard merged == [UInt32(index)] else { continue }
                }
                wholeWords.insert(word, id: UInt32(index))
            }
        }
        self.wholeWords = wholeWords
    }

    func isControl(_ token: UInt32) -> Bool { controlFlags[Int(token)] }

    func controlToken(_ text: String) -> UInt32? { controlTokens[text] }

    /// What `token` decodes to; `token` must be below `count`.
    func bytes(of token: UInt32) -> [UInt8] {
        let index = Int(token)
        return Array(byteStorage[(index == 0 ? 0 : byteEnds[index - 1])..<byteEnds[index]])
    }

    /// A merge is written as its two tokens with a space between.
    private static func mergeTable(
        _ texts: GGUFStringArray, ids: ByteStringTable, malformed: (String) -> TokenizationError
    ) throws -> MergeTable {
        var table = MergeTable(capacity: texts.count)
        var joined: [UInt8] = []
        for rank in 0..<texts.count {
            try texts.withUTF8(at: rank) { text in
                guard let space = text.dropFirst().firstIndex(of: UInt8(ascii: " ")), space + 1 < text.count else {
                    throw malformed("merge \(rank) is not two tokens with a space between")
                }
                let left = UnsafeBufferPointer(rebasing: text[..<space])
                let right = UnsafeBufferPointer(rebasing: text[(space + 1)...])
                joined.removeAll(keepingCapacity: true)
                joined.append(contentsOf: left)
                joined.append(contentsOf: right)
                guard let leftID = ids.id(of: left), let rightID = ids.id(of: right),
                    let id = joined.withUnsafeBufferPointer({ ids.id(of: $0) })
                else { throw malformed("merge \(rank) names a token that is not in the vocabulary") }
                table.insert(left: leftID, right: rightID, rank: UInt32(rank), token: id)
            }
        }
        return table
    }
}
