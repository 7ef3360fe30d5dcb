/// Blocks in order of their last use: a doubly linked list over block ids, every operation in constant time.
struct BlockRecency: Sendable {
    private static let none: Int32 = -1

    private var older: [Int32]
    private var newer: [Int32]
    private var oldest = none
    private var newest = none
    private(set) var count = 0

    /// - Parameter blockCount: ids are `0..<blockCount`.
    init(blockCount: Int) {
        older = Array(repeating: Self.none, count: blockCount)
        newer = Array(repeating: Self.none, count: blockCount)
    }

    /// Adds a block that is not in the list.
    mutating func insertNewest(_ block: Int32) {
        older[Int(block)] = newest
        newer[Int(block)] = Self.none
        if newest == Self.none { oldest = block } else { newer[Int(newest)] = block }
        newest = block
        count += 1
    }

    /// Takes out a block that is in the list.
    mutating func remove(_ block: Int32) {
        let before = older[Int(block)]
        let after = newer[Int(block)]
        if before == Self.none { oldest = after } else { newer[Int(before)] = after }
        if after == Self.none { newest = before } else { older[Int(after)] = before }
        count -= 1
    }

    mutating func removeOldest() -> Int32? {
        guard oldest != Self.none else { return nil }
        let block = oldest
        remove(block)
        return block
    }
}
