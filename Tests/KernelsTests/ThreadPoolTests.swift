import Kernels
import Synchronization
import Testing

@Suite struct ThreadPoolTests {
    @Test("every thread runs each region once", arguments: [1, 2, 3, 8])
    func runsEveryThread(threads: Int) throws {
        let pool = try ThreadPool(threadCount: threads)
        let runs = Mutex([Int](repeating: 0, count: threads))
        for _ in 0..<200 { pool.run { thread in runs.withLock { $0[thread] += 1 } } }
        #expect(runs.withLock { $0 } == [Int](repeating: 200, count: threads))
    }

    @Test("nobody passes a barrier before all have arrived, with more threads than cores", arguments: [2, 4, 9])
    func barriers(threads: Int) throws {
        let pool = try ThreadPool(threadCount: threads)
        let phases = 300
        let arrived = (0..<phases).map { _ in Cell() }
        let violations = Atomic<Int>(0)
        pool.run { _ in
            for phase in 0..<phases {
                arrived[phase].value.add(1, ordering: .relaxed)
                pool.barrier()
                if arrived[phase].value.load(ordering: .relaxed) != threads {
                    violations.add(1, ordering: .relaxed)
                }
            }
        }
        #expect(violations.load(ordering: .relaxed) == 0)
    }

    @Test("claims give every chunk to exactly one thread, afresh after each barrier")
    func claims() throws {
        let pool = try ThreadPool(threadCount: 5)
        for count in [0, 1, 7, 64, 1001] {
            let marks = (0..<count * 3).map { _ in Cell() }
            pool.run { _ in
                for phase in 0..<3 {
                    pool.forEachChunk(of: count, chunk: 4) { range in
                        for index in range { marks[phase * count + index].value.add(1, ordering: .relaxed) }
                    }
                    pool.barrier()
                }
            }
            #expect(marks.allSatisfy { $0.value.load(ordering: .relaxed) == 1 })
        }
    }

    @Test("two pools compete for the cores and both finish")
    func contention() async throws {
        let totals = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    let pool = try ThreadPool(threadCount: 4)
                    let total = Atomic<Int>(0)
                    for _ in 0..<50 {
                        pool.run { thread in
                            for _ in 0..<20 {
                                total.add(thread, ordering: .relaxed)
                                pool.barrier()
                            }
                        }
                    }
                    return total.load(ordering: .relaxed)
                }
            }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(totals == [6000, 6000])
    }

    @Test("a split covers everything once, on aligned boundaries")
    func splits() {
        for count in [0, 1, 15, 16, 100, 1000] {
            for parts in [1, 2, 3, 7] {
                for alignment in [1, 16] {
                    let ranges = (0..<parts).map {
                        ThreadPool.split(count, part: $0, of: parts, alignment: alignment)
                    }
                    #expect(ranges.flatMap(Array.init) == Array(0..<count))
                    #expect(ranges.allSatisfy { $0.lowerBound % alignment == 0 || $0.lowerBound == count })
                }
            }
        }
    }
}

/// An atomic that can stand in an array.
private final class Cell: Sendable {
    let value = Atomic<Int>(0)
}
