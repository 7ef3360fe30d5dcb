import ModelFiles

/// Byte-pair encoding over the bytes of words: the tables of it, made once and never changed.
final class ByteLevelModel: Sendable {
    /// The token of each single byte; nil for bytes that the vocabulary does not have.
    let byteTokens: [UInt32?]
    let merges: MergeTable
    /// Words that are one token: those that their own merges lead to, so that looking here first changes nothing.
    let wholeWords: ByteStringTable

    /// - Parameters:
    ///   - texts: the tokens in the byte alphabet.
    ///   - ids: the ids of `texts`.
    ///   - ignoresMerges: whether a word that is in the vocabulary is one token whatever the merges say.
    ///   - isWord: whether words may be this token; false for control tokens.
    init(
        texts: GGUFStringArray, ids: ByteStringTable, merges: MergeTable, ignoresMerges: Bool, isWord: (Int) -> Bool
    ) {
        let byteTokens = ByteAlphabet.utf8.map { utf8 in utf8.withUnsafeBufferPointer { ids.id(of: $0) } }
        self.byteTokens = byteTokens
        self.merges = merges
        var wholeWords = ByteStringTable(capacity: texts.count)
        var merger = WordMerger(merges)
        var merged: [UInt32] = []
        for index in 0..<texts.count where isWord(index) {
            guard let word = texts.withUTF8(at: index, ByteAlphabet.decode), !word.isEmpty else { continue }
            word.withUnsafeBufferPointer { word in
                if !ignoresMerges {
                    merged.removeAll(keepingCapacity: true)
                    merger.merge(word, byteTokens: byteTokens, into: &merged)
                    guard merged == [UInt32(index)] else { return }
                }
                wholeWords.insert(word, id: UInt32(index))
            }
        }
        self.wholeWords = wholeWords
    }

    var hasCollisions: Bool { merges.hasCollisions || wholeWords.hasCollisions }

    /// Whether every byte has a token.
    var isComplete: Bool { byteTokens.allSatisfy { $0 != nil } }
}
