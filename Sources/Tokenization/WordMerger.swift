/// Merges the byte tokens of one word until no merge applies, preferred merges first, leftmost first among equals.
///
/// Short words, which are nearly all, are scanned for the best pair each time. Long ones (a megabyte without a space is
/// one word) use a heap of pairs over a linked list, so that the time is O(n log n).
struct WordMerger {
    private static let maxScannedCount = 48

    private let table: MergeTable
    // Scratch, kept between words.
    private var tokens: [UInt32] = []
    private var merges: [MergeTable.Merge] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    private var heap: [HeapEntry] = []

    init(_ table: MergeTable) {
        self.table = table
    }

    /// Appends to `output` what the byte tokens of `word` merge to. Bytes without a token are left out.
    mutating func merge(_ word: UnsafeBufferPointer<UInt8>, byteTokens: [UInt32?], into output: inout [UInt32]) {
        tokens.removeAll(keepingCapacity: true)
        for byte in word { if let token = byteTokens[Int(byte)] { tokens.append(token) } }
        if tokens.count <= Self.maxScannedCount {
            mergeByScanning()
            output.append(contentsOf: tokens)
        } else {
            mergeByHeap(into: &output)
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

    /// A pair that may merge: the rank, then the position of its left token. Stale when the pair has changed since.
    private struct HeapEntry: Comparable {
        let rank: UInt32
        let position: Int32

        static func < (lhs: HeapEntry, rhs: HeapEntry) -> Bool {
            (lhs.rank, lhs.position) < (rhs.rank, rhs.position)
        }
    }

    private mutating func mergeByHeap(into output: inout [UInt32]) {
        let count = tokens.count
        next = (0..<count).map { Int32($0 + 1) }
        previous = (0..<count).map { Int32($0 - 1) }
        merges = [MergeTable.Merge](repeating: .none, count: count)
        heap.removeAll(keepingCapacity: true)
        for index in 0..<count - 1 {
            merges[index] = table[tokens[index], tokens[index + 1]]
            if merges[index] != .none { heap.append(HeapEntry(rank: merges[index].rank, position: Int32(index))) }
        }
        for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(index) }

        while let best = popBest() {
            let position = Int(best.position)
            let merge = merges[position]
            // A merged-away token has no merge; a changed pair has another rank.
            guard merge != .none, merge.rank == best.rank else { continue }
            let removed = Int(next[position])
            let following = Int(next[removed])
            tokens[position] = merge.token
            merges[removed] = .none
            next[position] = Int32(following)
            if following < count { previous[following] = Int32(position) }
            updatePair(at: position, right: following, count: count)
            if previous[position] >= 0 { updatePair(at: Int(previous[position]), right: position, count: count) }
        }
        var index = 0
        while index < count {
            output.append(tokens[index])
            index = Int(next[index])
        }
        // One huge word must not keep its scratch memory for the rest of the text.
        (next, previous, merges, heap) = ([], [], [], [])
    }

    private mutating func updatePair(at left: Int, right: Int, count: Int) {
        merges[left] = right < count ? table[tokens[left], tokens[right]] : .none
        guard merges[left] != .none else { return }
        heap.append(HeapEntry(rank: merges[left].rank, position: Int32(left)))
        siftUp(heap.count - 1)
    }

    private mutating func popBest() -> HeapEntry? {
        guard let best = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            siftDown(0)
        }
        return best
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0, heap[index] < heap[(index - 1) / 2] {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        while true {
            var smallest = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child] < heap[smallest] {
                smallest = child
            }
            guard smallest != index else { return }
            heap.swapAt(index, smallest)
            index = smallest
        }
    }
}
