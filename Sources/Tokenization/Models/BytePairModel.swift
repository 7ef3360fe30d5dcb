/// Byte-pair encoding over the characters of words, as the `BPE` model of a tokenizer.json and SentencePiece describe it.
///
/// A character without a token becomes its bytes' tokens (`<0xE2>`), where there are such, or the unknown token.
final class BytePairModel: Sendable {
    struct Options: Sendable {
        /// Put before every character of a word but the first.
        var continuationPrefix: [UInt8] = []
        /// Put behind the last character of a word.
        var wordSuffix: [UInt8] = []
        /// The token of each byte, for characters without a token; nil: none.
        var byteTokens: [UInt32]?
        var unknown: UInt32?
        /// Whether several unknown characters in a row are one unknown token.
        var fusesUnknown = false
        /// Whether a word that is in the vocabulary is one token whatever the merges say.
        var ignoresMerges = false
    }

    let merges: MergeTable
    let options: Options
    private let ids: ByteStringTable

    init(ids: ByteStringTable, merges: MergeTable, options: Options) {
        self.ids = ids
        self.merges = merges
        self.options = options
    }

    /// Appends the tokens of `word`, which is not empty.
    func encode(_ word: UnsafeBufferPointer<UInt8>, merger: inout WordMerger, into output: inout [UInt32]) {
        if options.ignoresMerges, let id = ids.id(of: word) {
            output.append(id)
            return
        }
        merger.merge(into: &output) { appendCharacters(of: word, to: &$0) }
    }

    private func appendCharacters(of word: UnsafeBufferPointer<UInt8>, to tokens: inout [UInt32]) {
        var unknown: UInt32?
        var index = 0
        while index < word.count {
            var end = index + 1
            while end < word.count, word[end] & 0xC0 == 0x80 { end += 1 }
            let character = UnsafeBufferPointer(rebasing: word[index..<end])
            if let id = id(of: character, isFirst: index == 0, isLast: end == word.count) {
                if let pending = unknown { tokens.append(pending) }
                unknown = nil
                tokens.append(id)
            } else if let byteTokens = options.byteTokens {
                // As in the library, an unknown token that is waiting stays behind these.
                for byte in character { tokens.append(byteTokens[Int(byte)]) }
            } else if let id = options.unknown {
                if let pending = unknown, !options.fusesUnknown { tokens.append(pending) }
                unknown = id
            }
            index = end
        }
        if let unknown { tokens.append(unknown) }
    }

    private func id(of character: UnsafeBufferPointer<UInt8>, isFirst: Bool, isLast: Bool) -> UInt32? {
        let prefix = isFirst ? [] : options.continuationPrefix
        let suffix = isLast ? options.wordSuffix : []
        guard !prefix.isEmpty || !suffix.isEmpty else { return ids.id(of: character) }
        return (prefix + character + suffix).withUnsafeBufferPointer { ids.id(of: $0) }
    }
}
