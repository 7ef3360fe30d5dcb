/// Hands out the KV cache blocks of a replica group, and remembers what the full ones hold.
///
/// A block holds the keys and values of `blockSize` consecutive positions of one sequence, on every stage under the same
/// id. Blocks are counted by references, so that sequences with a common prefix share its blocks.
///
/// The prefix cache is a tree: a full block is known by its parent block's content and its own tokens, compared token
/// by token, so nothing is ever taken for something else. (vLLM chains hashes to the same end; a collision there gives
/// one request another's context.) The first block of a chain also carries the cache namespace, so two tenants never
/// meet. A block that nobody holds keeps its content until it is needed: the least recently used goes first, and of one
/// sequence the last block, because a prefix is useless without its beginning.
package struct BlockManager: Sendable {
    /// What a full block holds, and after what.
    private struct Content: Hashable {
        /// The content before this block; 0 at the beginning of a sequence.
        var parent: ContentID
        /// Only at the beginning of a sequence, where it separates tenants.
        var namespace: String
        var tokenIDs: [TokenID]
    }

    /// Names a content for as long as the manager lives; never reused, so a lost parent can never be mistaken.
    package typealias ContentID = UInt64

    /// Token positions per block.
    package let blockSize: Int
    /// References to each block.
    private var referenceCounts: [Int32]
    /// Blocks without holder and content, used as a stack: the last freed is the likeliest to be in a CPU cache.
    private var freeBlocks: [Int32]
    /// Blocks without holder but with content, in order of use.
    private var reusable: BlockRecency
    /// The content of each block that has one.
    private var contents: [Content?]
    private var contentIDs: [ContentID]
    private var blockOfContent: [Content: Int32] = [:]
    private var nextContentID: ContentID = 1

    /// - Parameters:
    ///   - blockCount: ids are `0..<blockCount`; at least 1.
    ///   - blockSize: positions per block; at least 1.
    package init(blockCount: Int, blockSize: Int) {
        precondition(blockCount > 0 && blockSize > 0, "\(blockCount) blocks of \(blockSize) positions")
        self.blockSize = blockSize
        referenceCounts = Array(repeating: 0, count: blockCount)
        freeBlocks = (0..<Int32(blockCount)).reversed()
        reusable = BlockRecency(blockCount: blockCount)
        contents = Array(repeating: nil, count: blockCount)
        contentIDs = Array(repeating: 0, count: blockCount)
    }

    /// All blocks, free or not.
    package var blockCount: Int { referenceCounts.count }
    /// Blocks nobody holds, those with content among them.
    package var freeBlockCount: Int { freeBlocks.count + reusable.count }
    /// Blocks somebody holds.
    package var usedBlockCount: Int { blockCount - freeBlockCount }
    /// Blocks whose content is known, held or not.
    package var cachedBlockCount: Int { blockOfContent.count }

    /// Blocks that hold this many positions.
    package func blockCount(forTokens tokenCount: Int) -> Int {
        (tokenCount + blockSize - 1) / blockSize
    }

    /// References to a block, for tests and invariants.
    package func referenceCount(of block: Int32) -> Int {
        Int(referenceCounts[Int(block)])
    }

    // MARK: - Holding

    /// Appends free blocks to a table until it covers `tokenCount` positions; all or nothing.
    ///
    /// - Returns: false, with the table as it was, when too few blocks are free.
    package mutating func append(to table: inout [Int32], toCover tokenCount: Int) -> Bool {
        let missing = blockCount(forTokens: tokenCount) - table.count
        guard missing > 0 else { return true }
        guard missing <= freeBlockCount else { return false }
        for _ in 0..<missing {
            guard let block = freeBlocks.popLast() ?? evict() else { return false }
            referenceCounts[Int(block)] = 1
            table.append(block)
        }
        return true
    }

    /// Takes the content of the least recently used block nobody holds.
    private mutating func evict() -> Int32? {
        guard let block = reusable.removeOldest() else { return nil }
        if let content = contents[Int(block)] { blockOfContent[content] = nil }
        contents[Int(block)] = nil
        return block
    }

    /// Adds a reference to blocks that are held or whose content is known.
    package mutating func share(_ blocks: some Swift.Sequence<Int32>) {
        for block in blocks {
            let index = Int(block)
            precondition(
                referenceCounts[index] > 0 || contents[index] != nil, "block \(block) is free and cannot be shared")
            if referenceCounts[index] == 0 { reusable.remove(block) }
            referenceCounts[index] += 1
        }
    }

    /// Drops one reference to each block of a table and empties it. Blocks nobody holds become free; what the full ones
    /// hold stays known until they are needed.
    package mutating func free(_ table: inout [Int32]) {
        // Last block first, so that it is evicted first.
        for block in table.reversed() {
            let index = Int(block)
            precondition(referenceCounts[index] > 0, "block \(block) is freed twice")
            referenceCounts[index] -= 1
            guard referenceCounts[index] == 0 else { continue }
            if contents[index] == nil {
                freeBlocks.append(block)
            } else {
                reusable.insertNewest(block)
            }
        }
        table.removeAll(keepingCapacity: false)
    }

    // MARK: - Prefixes

    /// A chain of blocks that hold the beginning of a sequence.
    package struct Prefix: Sendable, Equatable {
        package var blocks: [Int32] = []
        /// Content of the last block; 0 when there is none.
        package var contentID: ContentID = 0
    }

    /// The longest known prefix of `tokenIDs` in whole blocks, at most `maxTokens` positions. Takes no reference.
    package func prefix(of tokenIDs: [TokenID], namespace: String, maxTokens: Int) -> Prefix {
        var prefix = Prefix()
        for start in stride(from: 0, through: min(maxTokens, tokenIDs.count) - blockSize, by: blockSize) {
            let content = content(after: prefix.contentID, namespace, tokenIDs[start..<start + blockSize])
            guard let block = blockOfContent[content] else { break }
            prefix.blocks.append(block)
            prefix.contentID = contentIDs[Int(block)]
        }
        return prefix
    }

    /// Blocks among these that nobody holds: they count as free until they are shared.
    package func unheldCount(among blocks: [Int32]) -> Int {
        blocks.count { referenceCounts[Int($0)] == 0 }
    }

    /// Notes what a full block that somebody holds contains, or will contain before any later step reads it.
    ///
    /// - Parameters:
    ///   - parent: the content before it.
    ///   - tokenIDs: `blockSize` tokens.
    /// - Returns: the content's id; another block's when that one holds the same.
    package mutating func publish(
        _ block: Int32, after parent: ContentID, namespace: String, tokenIDs: ArraySlice<TokenID>
    ) -> ContentID {
        precondition(tokenIDs.count == blockSize && referenceCounts[Int(block)] > 0)
        let content = content(after: parent, namespace, tokenIDs)
        if let known = blockOfContent[content] { return contentIDs[Int(known)] }
        precondition(contents[Int(block)] == nil, "block \(block) has a content already")
        blockOfContent[content] = block
        contents[Int(block)] = content
        contentIDs[Int(block)] = nextContentID
        nextContentID += 1
        return contentIDs[Int(block)]
    }

    /// Forgets what these blocks hold, because it is not what it should be; who holds them keeps them.
    package mutating func forgetContents(of blocks: some Swift.Sequence<Int32>) {
        for block in blocks {
            let index = Int(block)
            guard let content = contents[index] else { continue }
            blockOfContent[content] = nil
            contents[index] = nil
            if referenceCounts[index] == 0 {
                reusable.remove(block)
                freeBlocks.append(block)
            }
        }
    }

    /// Forgets what the blocks hold: the stages lost it.
    package mutating func forgetContents() {
        while let block = evict() { freeBlocks.append(block) }
        for block in contents.indices { contents[block] = nil }
        blockOfContent.removeAll()
    }

    private func content(after parent: ContentID, _ namespace: String, _ tokenIDs: ArraySlice<TokenID>) -> Content {
        Content(parent: parent, namespace: parent == 0 ? namespace : "", tokenIDs: Array(tokenIDs))
    }
}
