import InferenceCore
import ShardServer
import Synchronization
import Testing

/// A model that consists of what was done to it.
private final class FakeModel: HostedModel {
    struct Record: Sendable {
        var loads: [Int] = []
        var stops: [Int] = []
        var failure: InferenceError?
    }

    let index: Int
    let record: @Sendable ((inout Record) -> Void) -> Void
    private let stopped: AsyncStream<Void>
    private let stopping: AsyncStream<Void>.Continuation

    init(_ index: Int, record: @escaping @Sendable ((inout Record) -> Void) -> Void) {
        self.index = index
        self.record = record
        (stopped, stopping) = AsyncStream.makeStream()
        record { $0.loads.append(index) }
    }

    func run() async {
        for await _ in stopped {}
    }

    func waitUntilUsable() async throws {
        try await Task.sleep(for: .milliseconds(5))
    }

    func stop() async {
        stopping.finish()
        record { $0.stops.append(index) }
    }
}

private final class Records: Sendable {
    let state = Mutex(FakeModel.Record())
    var current: FakeModel.Record { state.withLock { $0 } }
}

@Suite(.timeLimit(.minutes(1))) struct ModelPoolTests {
    private func withPool<Result: Sendable>(
        _ byteCounts: [Int], budget: Int?, idleLimit: Duration? = nil,
        _ body: @Sendable (ModelPool<FakeModel>, Records) async throws -> Result
    ) async throws -> Result {
        let records = Records()
        let pool = ModelPool(
            names: byteCounts.indices.map { "m\($0)" },
            residency: ModelResidency(byteCounts: byteCounts, budget: budget, maxWaiterCount: 100),
            idleLimit: idleLimit
        ) { index in
            try await Task.sleep(for: .milliseconds(10))
            if let failure = records.current.failure { throw failure }
            return FakeModel(index) { change in records.state.withLock { change(&$0) } }
        }
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await pool.run() }
            defer { tasks.cancelAll() }
            return try await body(pool, records)
        }
    }

    private func eventually(_ condition: () -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(10)
        while !condition() {
            try #require(ContinuousClock.now < deadline)
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    @Test("fifty first requests at once load a model once")
    func loadsOnce() async throws {
        try await withPool([1], budget: nil) { pool, records in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<50 { tasks.addTask { _ = try await pool.lease(0) } }
                try await tasks.waitForAll()
            }
            #expect(records.current.loads == [0])
            #expect(pool.snapshot(of: 0).userCount == 0)
        }
    }

    @Test("models that do not fit together take turns while requests for both come in")
    func takeTurns() async throws {
        try await withPool([6, 6], budget: 10) { pool, records in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for request in 0..<40 {
                    tasks.addTask {
                        let lease = try await pool.lease(request % 2)
                        #expect(lease.model.index == request % 2)
                        try await Task.sleep(for: .milliseconds(2))
                        lease.release()
                    }
                }
                try await tasks.waitForAll()
            }
            #expect(records.current.loads.count >= 2)
            #expect(records.current.loads.count - records.current.stops.count <= 1)
            #expect(pool.reservedByteCount <= 10)
        }
    }

    @Test("a failed load tells everybody who waits, is not repeated at once, and leaves the others alone")
    func failure() async throws {
        try await withPool([1, 1], budget: nil) { pool, records in
            let other = try await pool.lease(1)
            records.state.withLock { $0.failure = InferenceError(code: .dataLoss, message: "broken") }
            for _ in 0..<3 {
                await #expect(throws: InferenceError.self) { try await pool.lease(0) }
            }
            #expect(pool.snapshot(of: 0).failure?.message == "broken")
            #expect(pool.snapshot(of: 0).phase == .absent)
            records.state.withLock { $0.failure = nil }
            other.release()
            _ = try await pool.lease(1)
        }
    }

    @Test("a cancelled wait ends at once and holds nobody up")
    func cancellation() async throws {
        try await withPool([6, 6], budget: 10) { pool, _ in
            let lease = try await pool.lease(0)
            let waiting = Task { try await pool.lease(1) }
            try await eventually { pool.snapshot(of: 1).waiterCount == 1 }
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
            #expect(pool.snapshot(of: 1).waiterCount == 0)
            lease.release()
            #expect(pool.snapshot(of: 0).phase == .ready)
        }
    }

    @Test("a lease that is dropped is released, and one released twice counts once")
    func leases() async throws {
        try await withPool([1], budget: nil) { pool, _ in
            let first = try await pool.lease(0)
            var second: ModelLease<FakeModel>? = try await pool.lease(0)
            #expect(pool.snapshot(of: 0).userCount == 2)
            first.release()
            first.release()
            #expect(second != nil && pool.snapshot(of: 0).userCount == 1)
            second = nil
            #expect(pool.snapshot(of: 0).userCount == 0)
        }
    }

    @Test("models but the first go when nobody has used them for a while")
    func idle() async throws {
        try await withPool([1, 1], budget: nil, idleLimit: .milliseconds(40)) { pool, records in
            _ = try await pool.lease(0)
            let lease = try await pool.lease(1)
            try await Task.sleep(for: .milliseconds(120))
            #expect(records.current.stops.isEmpty)
            lease.release()
            try await eventually { pool.snapshot(of: 1).phase == .absent }
            #expect(records.current.stops == [1])
            #expect(pool.snapshot(of: 0).phase == .ready)
        }
    }

    @Test("a model that can never fit is refused with its size and the budget")
    func tooLarge() async throws {
        try await withPool([5 << 20], budget: 3 << 20) { pool, _ in
            do {
                _ = try await pool.lease(0)
                Issue.record("it was lent")
            } catch let error as InferenceError {
                #expect(error.code == .outOfMemory)
                #expect(error.message.contains("5.0 MiB") && error.message.contains("3.0 MiB"))
            }
        }
    }

    @Test(
        "amounts of memory are read with their units",
        arguments: [
            ("1024", 1_024), ("12GiB", 12 << 30), ("1.5g", 3 << 29), ("800 MiB", 800 << 20), ("3MB", 3_000_000),
            ("7B", 7),
        ] as [(String, Int)])
    func amounts(text: String, expected: Int) {
        #expect(MemorySize.parse(text) == expected)
    }

    @Test("other texts are no amounts", arguments: ["", "GiB", "-1", "1e9", "0x10", "nan", "12 parsecs", "9999999TiB"])
    func noAmounts(text: String) {
        #expect(MemorySize.parse(text) == nil)
    }
}
