import InferenceCore
import Testing

@Suite struct BlockManagerTests {
    @Test("a random program agrees with a dictionary of sets")
    func randomProgram() {
        var random = SeededRandom(seed: 11)
        var blocks = BlockManager(blockCount: 32, blockSize: 4)
        var tables: [[Int32]] = Array(repeating: [], count: 6)
        var shared: [[Int32]] = []
        for _ in 0..<5_000 {
            let index = Int(random.next() % 6)
            switch random.next() % 4 {
            case 0: blocks.free(&tables[index])
            case 1 where !tables[index].isEmpty && shared.count < 4:
                let prefix = Array(tables[index].prefix(2))
                blocks.share(prefix)
                shared.append(prefix)
            case 2 where !shared.isEmpty:
                var table = shared.removeLast()
                blocks.free(&table)
            default:
                let tokenCount = Int(random.next() % 40)
                let before = tables[index]
                let missing = max(0, (tokenCount + 3) / 4 - before.count)
                let fits = missing <= blocks.freeBlockCount
                let appended = blocks.append(to: &tables[index], toCover: tokenCount)
                #expect(appended == fits)
                #expect(tables[index].count == before.count + (fits ? missing : 0))
                #expect(tables[index].starts(with: before))
            }
            var counts: [Int32: Int] = [:]
            for block in (tables + shared).joined() { counts[block, default: 0] += 1 }
            #expect(blocks.usedBlockCount == counts.count)
            for block in Int32(0)..<32 { #expect(blocks.referenceCount(of: block) == counts[block] ?? 0) }
        }
    }
}
