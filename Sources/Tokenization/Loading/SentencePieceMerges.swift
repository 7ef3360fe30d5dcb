import ModelFiles

/// SentencePiece writes scores where others write merges: any two tokens merge when what they spell is a token, the one
/// with the greatest score first. Here these merges are written out.
enum SentencePieceMerges {
    /// Longer tokens are few and are not split: bounds the work on a hostile vocabulary.
    private static let maxTokenBytes = 256
    /// Real vocabularies of 256 thousand tokens have about a million.
    private static let maxMerges = 1 << 23

    /// The merges of the tokens in `ids`; `scores` by id. Equal scores have equal rank.
    static func table(_ texts: GGUFStringArray, _ ids: ByteStringTable, _ scores: [Double]) throws -> MergeTable {
        var merges: [(left: UInt32, right: UInt32, token: UInt32)] = []
        let ranks = ranks(scores)
        for index in texts.indices {
            guard merges.count <= maxMerges else {
                throw TokenizationError(code: .unsupported, message: "more than \(maxMerges) merges of tokens")
            }
            texts.withUTF8(at: index) { text in
                guard text.count <= maxTokenBytes, ids.id(of: text) == UInt32(index) else { return }
                for middle in 1..<max(text.count, 1) where text[middle] & 0xC0 != 0x80 {
                    guard let left = ids.id(of: UnsafeBufferPointer(rebasing: text[..<middle])),
                        let right = ids.id(of: UnsafeBufferPointer(rebasing: text[middle...]))
                    else { continue }
                    merges.append((left, right, UInt32(index)))
                }
            }
        }
        var table = MergeTable(capacity: merges.count)
        for merge in merges {
            table.insert(left: merge.left, right: merge.right, rank: ranks[Int(merge.token)], token: merge.token)
        }
        return table
    }

    private static func ranks(_ scores: [Double]) -> [UInt32] {
        let order = scores.indices.sorted { scores[$0] > scores[$1] }
        var ranks = [UInt32](repeating: 0, count: scores.count)
        var rank: UInt32 = 0
        for (position, index) in order.enumerated() {
            if position > 0, scores[index] < scores[order[position - 1]] { rank += 1 }
            ranks[index] = rank
        }
        return ranks
    }
}
