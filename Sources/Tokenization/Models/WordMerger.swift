/// Merges the tokens of one word until no merge applies, preferred merges first, leftmost first among equals.
///
/// Short words, which are nearly all, are scanned for the best pair each time. Long ones (a megabyte without a space is
/// one word) keep their pairs in buckets by rank over a linked list, so that the time is O(n log n).
struct WordMerger {
    private static let maxScannedCount = 48

    private let table: MergeTable
    // Scratch, kept between words.
    private var tokens: [UInt32] = []
    private var merges: [MergeTable.Merge] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []

    init(_ table: MergeTable) {
        self.table = table
    }

    /// Appends to `output` what the byte tokens of `word` merge to. Bytes without a token are left out.
    mutating func merge(_ word: UnsafeBufferPointer<UInt8>, byteTokens: [UInt32?], into output: inout [UInt32]) {
        merge(into: &output) { tokens in
            for byte in word { if let token = byteTokens[Int(byte)] { tokens.append(token) } }
        }
    }

    /// Appends to `output` what the tokens that `fill` appends to its argument merge to.
    @inline(__always)
    mutating func merge(into output: inout [UInt32], _ fill: (inout [UInt32]) -> Void) {
        tokens.removeAll(keepingCapacity: true)
        fill(&tokens)
        if tokens.count <= Self.maxScannedCount {
            mergeByScanning()
            output.append(contentsOf: tokens)
        } else {
            mergeByBuckets(into: &output)
        }
    }

    private mutating func mergeByScanning() {
        merges.removeAll(keepingCapacity: true)
        guard tokens.count > 1 else { return }
        for index in 1..<tokens.count { merges.append(table[tokens[index - 1], tokens[index]]) }
        while true {
            var best = MergeTable.Merge.none
            var position = 0
            for index in 0..<merges.count where merges[index] < best { (best, position) = (merges[index], index) }
            guard best != .none else { return }
            tokens[position] = best.token
            tokens.remove(at: position + 1)
            merges.remove(at: position)
            if position > 0 { merges[position - 1] = table[tokens[position - 1], tokens[position]] }
            if position < merges.count { merges[position] = table[tokens[position], tokens[position + 1]] }
        }
    }

    // MARK: - Long words

    /// Marks a position whose token has merged into the one before.
    private static let mergedAway = UInt32.max

    private mutating func mergeByBuckets(into output: inout [UInt32]) {
        let count = tokens.count
        next = (0..<count).map { Int32($0 + 1) }
        previous = (0..<count).map { Int32($0 - 1) }
        var buckets = MergeBuckets()
        for index in 0..<count - 1 {
            let merge = table[tokens[index], tokens[index + 1]]
            if merge != .none { buckets.append(Int32(index), rank: merge.rank) }
        }
        var isInterrupted = false
        while !isInterrupted, let (rank, positions) = buckets.popBest() {
            for (index, position) in positions.enumerated() {
                let best = merge(at: Int(position), rank: rank) { buckets.append($0, rank: $1) }
                guard best < rank else { continue }
                // A merge made a pair that is preferred to this rank (trained vocabularies have none): that first.
                for rest in positions[(index + 1)...] { buckets.append(rest, rank: rank) }
                isInterrupted = true
                break
            }
        }
        if isInterrupted {
            var heap = MergeHeap(buckets.drain())
            while let (rank, position) = heap.popBest() {
                _ = merge(at: Int(position), rank: rank) { heap.append($0, rank: $1) }
            }
        }
        var index = 0
        while index < count {
            output.append(tokens[index])
            index = Int(next[index])
        }
        // One huge word must not keep its scratch memory for the rest of the text.
        (next, previous) = ([], [])
    }

    /// Merges the pair at `position` if it still has `rank`; gives the smallest rank of the pairs that came of it.
    ///
    /// - Parameter found: told these pairs: position and rank.
    @inline(__always)
    private mutating func merge(at position: Int, rank: UInt32, _ found: (Int32, UInt32) -> Void) -> UInt32 {
        let removed = Int(next[position])
        guard tokens[position] != Self.mergedAway, removed < tokens.count else { return .max }
        let merge = table[tokens[position], tokens[removed]]
        guard merge != .none, merge.rank == rank else { return .max }
        let following = Int(next[removed])
        tokens[position] = merge.token
        tokens[removed] = Self.mergedAway
        next[position] = Int32(following)
        var best = UInt32.max
        if following < tokens.count {
            previous[following] = Int32(position)
            let pair = table[merge.token, tokens[following]]
            if pair != .none {
                found(Int32(position), pair.rank)
                best = pair.rank
            }
        }
        let before = Int(previous[position])
        if before >= 0 {
            let pair = table[tokens[before], merge.token]
            if pair != .none {
                found(Int32(before), pair.rank)
                best = min(best, pair.rank)
            }
        }
        return best
    }
}
