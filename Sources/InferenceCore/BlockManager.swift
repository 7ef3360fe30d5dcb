/// Hands out the KV cache blocks of a replica group.
///
/// A block holds the keys and values of `blockSize` consecutive positions of one sequence, on every stage under the same
/// id. Blocks are counted by references so that several sequences may share the blocks of a common prefix; today every
/// block has one holder. The most recently freed block is handed out first: it is the likeliest to be in a CPU cache.
package struct BlockManager: Sendable {
    /// Token positions per block.
    package let blockSize: Int
    /// References to each block; 0 is free.
    private var referenceCounts: [Int32]
    /// Free block ids, used as a stack.
    private var freeBlocks: [Int32]

    /// - Parameters:
    ///   - blockCount: ids are `0..<blockCount`; at least 1.
    ///   - blockSize: positions per block; at least 1.
    package init(blockCount: Int, blockSize: Int) {
        precondition(blockCount > 0 && blockSize > 0, "\(blockCount) blocks of \(blockSize) positions")
        self.blockSize = blockSize
        referenceCounts = Array(repeating: 0, count: blockCount)
        freeBlocks = (0..<Int32(blockCount)).reversed()
    }

    /// All blocks, free or not.
    package var blockCount: Int { referenceCounts.count }
    /// Blocks nobody holds.
    package var freeBlockCount: Int { freeBlocks.count }
    /// Blocks somebody holds.
    package var usedBlockCount: Int { blockCount - freeBlockCount }

    /// Blocks that hold this many positions.
    package func blockCount(forTokens tokenCount: Int) -> Int {
        (tokenCount + blockSize - 1) / blockSize
    }

    /// References to a block, for tests and invariants.
    package func referenceCount(of block: Int32) -> Int {
        Int(referenceCounts[Int(block)])
    }

    /// Appends free blocks to a table until it covers `tokenCount` positions; all or nothing.
    ///
    /// - Returns: false, with the table as it was, when too few blocks are free.
    package mutating func append(to table: inout [Int32], toCover tokenCount: Int) -> Bool {
        let missing = blockCount(forTokens: tokenCount) - table.count
        guard missing > 0 else { return true }
        guard missing <= freeBlocks.count else { return false }
        for _ in 0..<missing {
            let block = freeBlocks.removeLast()
            referenceCounts[Int(block)] = 1
            table.append(block)
        }
        return true
    }

    /// Adds a reference to blocks that are in use, so that another sequence's table may hold them too.
    package mutating func share(_ blocks: some Swift.Sequence<Int32>) {
        for block in blocks {
            precondition(referenceCounts[Int(block)] > 0, "block \(block) is free and cannot be shared")
            referenceCounts[Int(block)] += 1
        }
    }

    /// Drops one reference to each block of a table and empties it; blocks nobody holds become free.
    package mutating func free(_ table: inout [Int32]) {
        // Last block first, so that the next sequence gets them in their old order.
        for block in table.reversed() {
            precondition(referenceCounts[Int(block)] > 0, "block \(block) is freed twice")
            referenceCounts[Int(block)] -= 1
            if referenceCounts[Int(block)] == 0 { freeBlocks.append(block) }
        }
        table.removeAll(keepingCapacity: false)
    }
}
