/// Pairs that may merge in the order in which they do: by rank, and from left to right among equals. A binary heap.
///
/// For vocabularies in which a merge can make a pair that is preferred to what is left of its own rank, where grouping by
/// rank would begin each group again and again: here a pair costs the logarithm of their number, whatever the vocabulary.
struct MergeHeap {
    /// Rank in the upper half, position in the lower.
    private var keys: [UInt64] = []

    init(_ pairs: [(rank: UInt32, position: Int32)]) {
        keys = pairs.map { Self.key($0.rank, $0.position) }.sorted()
    }

    private static func key(_ rank: UInt32, _ position: Int32) -> UInt64 {
        UInt64(rank) << 32 | UInt64(UInt32(bitPattern: position))
    }

    mutating func append(_ position: Int32, rank: UInt32) {
        keys.append(Self.key(rank, position))
        var index = keys.count - 1
        while index > 0, keys[index] < keys[(index - 1) / 2] {
            keys.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    mutating func popBest() -> (rank: UInt32, position: Int32)? {
        guard let best = keys.first, let moved = keys.popLast() else { return nil }
        if !keys.isEmpty {
            keys[0] = moved
            var index = 0
            while true {
                let left = 2 * index + 1
                guard left < keys.count else { break }
                let child = left + 1 < keys.count && keys[left + 1] < keys[left] ? left + 1 : left
                guard keys[child] < keys[index] else { break }
                keys.swapAt(index, child)
                index = child
            }
        }
        return (UInt32(best >> 32), Int32(bitPattern: UInt32(truncatingIfNeeded: best)))
    }
}
