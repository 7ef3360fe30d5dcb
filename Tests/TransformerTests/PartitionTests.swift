import Testing
import Transformer

@Suite struct PartitionTests {
    @Test("equal costs are cut into equal ranges")
    func equalCosts() {
        #expect(ModelConfiguration.balancedRanges([1, 1, 1, 1, 1, 1], count: 3) == [0..<2, 2..<4, 4..<6])
    }

    @Test("a costly last layer gets a stage of its own")
    func costlyLast() {
        #expect(ModelConfiguration.balancedRanges([1, 1, 1, 1, 10], count: 2) == [0..<4, 4..<5])
    }

    @Test("as many stages as layers gives one layer each, whatever the costs")
    func oneEach() {
        #expect(ModelConfiguration.balancedRanges([5, 0, 0, 9], count: 4) == [0..<1, 1..<2, 2..<3, 3..<4])
    }

    @Test("ranges are contiguous, complete, of the asked count, and no cut has a smaller largest stage")
    func againstBruteForce() {
        var generator = SeededGenerator(state: 7)
        for _ in 0..<300 {
            let costs = (0..<Int.random(in: 1...8, using: &generator)).map { _ in
                Int.random(in: 0...20, using: &generator)
            }
            let count = Int.random(in: 1...costs.count, using: &generator)
            let ranges = ModelConfiguration.balancedRanges(costs, count: count)
            #expect(ranges.count == count)
            #expect(ranges.first?.lowerBound == 0 && ranges.last?.upperBound == costs.count)
            #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
            #expect(ranges.allSatisfy { !$0.isEmpty })
            let largest = ranges.map { costs[$0].reduce(0, +) }.max() ?? 0
            #expect(largest == smallestLargest(costs[...], count: count))
        }
    }

    /// Every cut tried.
    private func smallestLargest(_ costs: ArraySlice<Int>, count: Int) -> Int {
        if count == 1 { return costs.reduce(0, +) }
        return (1...costs.count - count + 1).map { first in
            max(costs.prefix(first).reduce(0, +), smallestLargest(costs.dropFirst(first), count: count - 1))
        }.min() ?? 0
    }
}

/// SplitMix64, so that a failing case can be run again.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
