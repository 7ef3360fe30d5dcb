/// The merges of a byte-pair vocabulary: which two tokens become which, and in what order of preference.
struct MergeTable: Sendable {
    /// What a pair merges to. Smaller is preferred.
    struct Merge: Comparable, Sendable {
        /// Rank in the upper half, token id in the lower.
        let packed: UInt64

        static let none = Merge(packed: .max)

        var rank: UInt32 { UInt32(truncatingIfNeeded: packed >> 32) }
        var token: UInt32 { UInt32(truncatingIfNeeded: packed) }

        /// By rank only: among equal ranks the leftmost pair comes first, whatever it becomes.
        static func < (lhs: Merge, rhs: Merge) -> Bool { lhs.rank < rhs.rank }
    }

    /// Left id in the upper half, right id in the lower; `.max` for an empty slot.
    private var keys: [UInt64]
    private var merges: [UInt64]
    private let shift: UInt64
    /// Whether merges were refused because too many share a hash.
    private(set) var hasCollisions = false

    /// An empty table with room for `capacity` merges.
    init(capacity: Int) {
        var bits = 4
        while 1 << bits < capacity * 2 { bits += 1 }
        keys = [UInt64](repeating: .max, count: 1 << bits)
        merges = [UInt64](repeating: .max, count: 1 << bits)
        shift = UInt64(64 - bits)
    }

    /// Adds a merge. When the pair has one, that stays, unless the new one `replaces` it.
    mutating func insert(left: UInt32, right: UInt32, rank: UInt32, token: UInt32, replaces: Bool = false) {
        let key = UInt64(left) << 32 | UInt64(right)
        let slot = slot(of: key)
        guard replaces || keys[slot] == .max else { return }
        guard (slot - home(of: key)) & (keys.count - 1) < ProbeLimit.length else {
            hasCollisions = true
            return
        }
        keys[slot] = key
        merges[slot] = UInt64(rank) << 32 | UInt64(token)
    }

    /// The merge of two tokens, `.none` when they do not merge.
    @inline(__always)
    subscript(left: UInt32, right: UInt32) -> Merge {
        Merge(packed: merges[slot(of: UInt64(left) << 32 | UInt64(right))])
    }

    @inline(__always)
    private func home(of key: UInt64) -> Int {
        Int(truncatingIfNeeded: ((key ^ (key >> 29)) &* 0x9E37_79B9_7F4A_7C15) >> shift)
    }

    @inline(__always)
    private func slot(of key: UInt64) -> Int {
        var slot = home(of: key)
        while keys[slot] != key, keys[slot] != .max { slot = (slot + 1) & (keys.count - 1) }
        return slot
    }
}
