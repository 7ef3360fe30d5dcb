/// WordPiece: the longest vocabulary entry that each rest of a word starts with.
struct WordPieceModel: Sendable {
    /// Entries that start a word.
    let starts: ByteStringTable
    /// Entries that continue one, without their prefix.
    let continuations: ByteStringTable
    let unknown: UInt32
    /// Longer words are unknown.
    let maxScalars: Int

    /// Appends the tokens of `word`; one unknown token when it cannot be spelt.
    ///
    /// - Parameter budget: nil: none is needed, as words are short.
    /// - Throws: `tooMuchWork`.
    func encode(
        _ word: UnsafeBufferPointer<UInt8>, scalarCount: Int, into output: inout [UInt32], _ budget: TextBudget?
    ) throws {
        let first = output.count
        guard scalarCount <= maxScalars, try spell(word, into: &output, budget) else {
            output.removeLast(output.count - first)
            output.append(unknown)
            return
        }
    }

    private func spell(
        _ word: UnsafeBufferPointer<UInt8>, into output: inout [UInt32], _ budget: TextBudget?
    ) throws -> Bool {
        var start = 0
        while start < word.count {
            guard let (token, end) = try longest(word, from: start, budget) else { return false }
            output.append(token)
            start = end
        }
        return true
    }

    private func longest(
        _ word: UnsafeBufferPointer<UInt8>, from start: Int, _ budget: TextBudget?
    ) throws -> (token: UInt32, end: Int)? {
        let maxLength = start == 0 ? starts.maxLength : continuations.maxLength
        var end = min(word.count, start + maxLength)
        while end > start {
            try budget?.spend(1 + (end - start) / 8)
            let isBoundary = end == word.count || word[end] & 0xC0 != 0x80
            if isBoundary {
                let part = UnsafeBufferPointer(rebasing: word[start..<end])
                if let id = start == 0 ? starts.id(of: part) : continuations.id(of: part) { return (id, end) }
            }
            end -= 1
        }
        return nil
    }
}
