/// One run of byte-level encoding: a text's bytes on one side, its ids on the other, and a cache of the words seen on the way.
struct ByteLevelEncoder {
    /// A word met before: where it stands in the text, and where its ids stand in the output.
    private struct CachedWord {
        var hash: UInt64 = 0
        var start = 0
        /// 0 for an empty slot; no word is empty.
        var length = 0
        var firstID = 0
        var idCount = 0
    }

    /// Words in a text repeat, and copying ids is cheaper than merging. One entry per slot, the last word wins.
    private static let cacheSize = 4096
    /// Shorter texts are done before a cache would have paid for itself.
    private static let minCachedTextLength = 2048

    private let model: ByteLevelModel
    private let preTokenizer: PreTokenizer
    let reader: ScalarReader
    private var merger: WordMerger
    private var cache: [CachedWord]
    private(set) var ids: [UInt32]
    let budget: TextBudget

    /// - Parameters:
    ///   - bytes: the text, valid UTF-8; must outlive this value.
    ///   - ids: what stands before the text's ids.
    init(
        model: ByteLevelModel, preTokenizer: PreTokenizer, bytes: UnsafeBufferPointer<UInt8>, ids: [UInt32],
        budget: TextBudget
    ) {
        self.budget = budget
        self.model = model
        self.preTokenizer = preTokenizer
        reader = ScalarReader(bytes: bytes, classes: ScalarClasses.shared)
        merger = WordMerger(model.merges)
        let isLong = bytes.count >= Self.minCachedTextLength
        cache = isLong ? [CachedWord](repeating: CachedWord(), count: Self.cacheSize) : []
        self.ids = ids
        self.ids.reserveCapacity(ids.count + bytes.count / 4 + 8)
    }

    /// Adds a token that is not found by merging.
    mutating func append(_ token: UInt32) { ids.append(token) }

    /// Encodes the text in `range`, which words do not cross. - Throws: `tooMuchWork`.
    mutating func encode(_ range: Range<Int>) throws {
        if preTokenizer.stepCount > 0 { try budget.spend(2 * preTokenizer.stepCount * range.count) }
        preTokenizer.split(reader, range: range, budget) { encodeWord($0) }
    }

    /// Calls `body` with an encoder of another text that goes on where this one is.
    mutating func withText(
        _ bytes: UnsafeBufferPointer<UInt8>, _ body: (inout ByteLevelEncoder) throws -> Void
    ) rethrows {
        var encoder = ByteLevelEncoder(
            model: model, preTokenizer: preTokenizer, bytes: bytes, ids: [], budget: budget)
        try body(&encoder)
        ids += encoder.ids
    }

    @inline(__always)
    private mutating func encodeWord(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        let word = UnsafeBufferPointer(rebasing: reader.bytes[range])
        let hash = ByteHash.hash(word)
        if let id = model.wholeWords.id(of: word, hash: hash) {
            ids.append(id)
            return
        }
        guard !cache.isEmpty else {
            merger.merge(word, byteTokens: model.byteTokens, into: &ids)
            return
        }
        let slot = Int(truncatingIfNeeded: hash >> 20) & (Self.cacheSize - 1)
        let cached = cache[slot]
        if cached.hash == hash, cached.length == word.count, isEqual(word, toTextAt: cached.start) {
            for index in cached.firstID..<cached.firstID + cached.idCount { ids.append(ids[index]) }
            return
        }
        let firstID = ids.count
        merger.merge(word, byteTokens: model.byteTokens, into: &ids)
        cache[slot] = CachedWord(
            hash: hash, start: range.lowerBound, length: word.count, firstID: firstID, idCount: ids.count - firstID)
    }

    private func isEqual(_ word: UnsafeBufferPointer<UInt8>, toTextAt start: Int) -> Bool {
        for index in 0..<word.count where reader.bytes[start + index] != word[index] { return false }
        return true
    }
}
