import DocumentStore
import Testing

struct IndexingTurnsTests {
    @Test("tenants take turns, and a tenant's turns go to its smallest file and its oldest by turns")
    func order() throws {
        var turns = IndexingTurns(workers: 1, preparations: 1)
        var order: [String] = []
        for _ in 0..<6 {
            let turn = try #require(turns.next(of: ["b", "a", "c"]).first)
            order.append(turn.tenant + (turn.isSmallestFirst ? "s" : "o"))
            turns.take(turn, 1, isPreparation: false)
            #expect(turns.next(of: ["a", "b", "c"]).isEmpty)
            turns.finish(turn.tenant, 1, isPreparation: false)
        }
        #expect(order == ["as", "bs", "cs", "ao", "bo", "co"])
        #expect(turns.isIdle && turns.taken.isEmpty)
    }

    @Test("cutting a large file takes no turn, and few are cut at once")
    func preparations() throws {
        var turns = IndexingTurns(workers: 1, preparations: 1)
        let turn = try #require(turns.next(of: ["a", "b"]).first)
        #expect(turns.mayPrepareLargeFile)
        turns.take(turn, 7, isPreparation: true)
        #expect(!turns.mayPrepareLargeFile)
        #expect(turns.next(of: ["a", "b"]).map(\.tenant) == ["b", "a"])
        #expect(turns.taken == ["a": [7]])
        turns.finish("a", 7, isPreparation: true)
        #expect(turns.mayPrepareLargeFile && turns.isIdle)
    }

    @Test("a tenant whose database fails rests, longer each time, and the others go on")
    func pauses() {
        var turns = IndexingTurns(workers: 2, preparations: 1)
        var pauses: [Duration] = []
        for _ in 0..<8 {
            pauses.append(turns.pause("a"))
            #expect(turns.next(of: ["a", "b"]).map(\.tenant) == ["b"])
            turns.resume("a")
            #expect(turns.next(of: ["a", "b"]).map(\.tenant) == ["a", "b"])
        }
        #expect(pauses == [1, 2, 4, 8, 16, 32, 32, 32].map { .seconds($0) })
        turns.succeed("a")
        #expect(turns.pause("a") == .seconds(1))
    }
}
