/// Positions of pairs that may merge, grouped by the rank of their merge.
///
/// A heap of pairs would be as right, but a long word has millions of pairs and few ranks: here a pair costs an append
/// to an array, and only the ranks are kept in order.
struct MergeBuckets {
    private var indices: [UInt32: Int] = [:]
    private var positions: [[Int32]] = []
    private var freeIndices: [Int] = []
    /// A binary heap of the ranks that have positions, smallest first.
    private var ranks: [UInt32] = []
    /// The bucket used last; neighbours often share a rank.
    private var last: (rank: UInt32, index: Int)?

    /// Adds a pair.
    mutating func append(_ position: Int32, rank: UInt32) {
        if let last, last.rank == rank {
            positions[last.index].append(position)
            return
        }
        let index: Int
        if let known = indices[rank] {
            index = known
        } else {
            if let free = freeIndices.popLast() {
                index = free
            } else {
                index = positions.count
                positions.append([])
            }
            indices[rank] = index
            push(rank)
        }
        positions[index].append(position)
        last = (rank, index)
    }

    /// Takes out the smallest rank with all its positions, from left to right.
    mutating func popBest() -> (rank: UInt32, positions: [Int32])? {
        guard let rank = popRank(), let index = indices.removeValue(forKey: rank) else { return nil }
        var taken: [Int32] = []
        swap(&taken, &positions[index])
        freeIndices.append(index)
        last = nil
        let isSorted = zip(taken, taken.dropFirst()).allSatisfy { $0 <= $1 }
        if !isSorted { taken.sort() }
        return (rank, taken)
    }

    /// Takes out everything.
    mutating func drain() -> [(rank: UInt32, position: Int32)] {
        defer { self = MergeBuckets() }
        return indices.flatMap { entry in positions[entry.value].map { (entry.key, $0) } }
    }

    private mutating func push(_ rank: UInt32) {
        ranks.append(rank)
        var index = ranks.count - 1
        while index > 0, ranks[index] < ranks[(index - 1) / 2] {
            ranks.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func popRank() -> UInt32? {
        guard let best = ranks.first, let moved = ranks.popLast() else { return nil }
        guard !ranks.isEmpty else { return best }
        ranks[0] = moved
        var index = 0
        while true {
            let left = 2 * index + 1
            guard left < ranks.count else { return best }
            let child = left + 1 < ranks.count && ranks[left + 1] < ranks[left] ? left + 1 : left
            guard ranks[child] < ranks[index] else { return best }
            ranks.swapAt(index, child)
            index = child
        }
    }
}
