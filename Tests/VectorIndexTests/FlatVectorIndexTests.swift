import Testing
import VectorIndex

struct FlatVectorIndexTests {
    private func vector(_ dimension: Int, _ random: inout SeededGenerator) -> [Float] {
        (0..<dimension).map { _ in Float.random(in: -1...1, using: &random) }
    }

    private func unit(_ vector: [Float]) -> [Double] {
        let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        return vector.map { Double($0) / length }
    }

    @Test("search is brute force, through any adds, replacements and removals", arguments: [1, 3, 16, 31, 32, 33, 384])
    func bruteForce(dimension: Int) throws {
        var random = SeededGenerator(seed: UInt64(dimension))
        var index = FlatVectorIndex(dimension: dimension)
        var naive: [Int64: [Double]] = [:]
        for step in 0..<600 {
            let id = Int64.random(in: 0..<150, using: &random)
            if Int.random(in: 0..<3, using: &random) == 0 {
                #expect(index.remove(id: id) == (naive.removeValue(forKey: id) != nil))
            } else {
                let vector = vector(dimension, &random)
                try index.add(id: id, vector: vector)
                naive[id] = unit(vector)
            }
            #expect(index.count == naive.count)
            guard step % 50 == 49 else { continue }
            let query = vector(dimension, &random)
            let direction = unit(query)
            let odd = step % 100 == 99
            let hits = try index.search(query, limit: 10, where: odd ? { $0 % 2 == 1 } : nil)
            let allowed = naive.filter { !odd || $0.key % 2 == 1 }
            let scores = allowed.mapValues { zip($0, direction).reduce(0) { $0 + $1.0 * $1.1 } }
            let best = scores.values.sorted(by: >).prefix(10)
            #expect(hits.count == best.count)
            for (hit, expected) in zip(hits, best) {
                #expect(abs(Double(hit.score) - expected) < 1e-5)
                #expect(abs(Double(hit.score) - (scores[hit.id] ?? -9)) < 1e-5)
            }
        }
    }

    @Test("equal scores are in order of id, whatever the order of insertion")
    func ties() throws {
        var index = FlatVectorIndex(dimension: 4)
        for id in [9, 3, 7, 1, 5] as [Int64] { try index.add(id: id, vector: [0, 2, 0, 0]) }
        #expect(try index.search([0, 1, 0, 0], limit: 3).map(\.id) == [1, 3, 5])
        #expect(try index.search([0, 1, 0, 0], limit: 3).allSatisfy { $0.score == 1 })
        #expect(try index.search([0, 1, 0, 0], limit: 0).isEmpty)
        #expect(try FlatVectorIndex(dimension: 4).search([0, 1, 0, 0], limit: 3).isEmpty)
    }

    @Test("vectors of another dimension or without a direction are refused")
    func refusals() throws {
        var index = FlatVectorIndex(dimension: 3)
        #expect(throws: VectorIndexError.self) { try index.add(id: 1, vector: [1, 2]) }
        #expect(throws: VectorIndexError.self) { try index.add(id: 1, vector: [0, 0, 0]) }
        #expect(throws: VectorIndexError.self) { try index.add(id: 1, vector: [.nan, 0, 0]) }
        #expect(throws: VectorIndexError.self) { try index.add(id: 1, vector: [.infinity, 0, 0]) }
        #expect(throws: VectorIndexError.self) { try index.search([1], limit: 1) }
        #expect(index.count == 0)
        #expect(!index.contains(1))
    }
}
