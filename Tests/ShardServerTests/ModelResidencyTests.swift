import InferenceCore
import ShardServer
import Testing

@Suite struct ModelResidencyTests {
    typealias Action = ModelResidency.Action

    /// Two models of 6 and one of 3 bytes in 10: one large and the small one fit together.
    private func makeResidency(budget: Int? = 10, maxWaiterCount: Int = 8) -> ModelResidency {
        ModelResidency(byteCounts: [6, 6, 3], budget: budget, maxWaiterCount: maxWaiterCount)
    }

    /// Loads a model for a waiter of its own.
    private func use(_ model: Int, _ waiter: UInt64, _ residency: inout ModelResidency) throws {
        #expect(try residency.acquire(model, waiter: waiter) == [.load(model)])
        #expect(residency.loaded(model) == [.grant(waiter: waiter, model: model)])
    }

    @Test("requests that come while a model is loaded wait for one load and are all granted")
    func loadsOnce() throws {
        var residency = makeResidency()
        #expect(try residency.acquire(0, waiter: 1) == [.load(0)])
        #expect(try residency.acquire(0, waiter: 2) == [])
        #expect(try residency.acquire(0, waiter: 3) == [])
        #expect(residency.loaded(0) == (1...3).map { .grant(waiter: $0, model: 0) })
        #expect(try residency.acquire(0, waiter: 4) == [.grant(waiter: 4, model: 0)])
        #expect(residency.userCount(of: 0) == 4)
    }

    @Test("without a budget everything stays")
    func noBudget() throws {
        var residency = makeResidency(budget: nil)
        for model in 0..<3 { try use(model, UInt64(model), &residency) }
        for model in 0..<3 { #expect(residency.release(model) == []) }
        #expect(residency.reservedByteCount == 15)
    }

    @Test("the least recently used idle model makes way, and no more than that")
    func evictsLeastRecentlyUsed() throws {
        var residency = ModelResidency(byteCounts: [3, 3, 3, 3], budget: 9, maxWaiterCount: 8)
        for model in 0..<3 {
            try use(model, UInt64(model), &residency)
            #expect(residency.release(model) == [])
        }
        _ = try residency.acquire(0, waiter: 10)
        _ = residency.release(0)
        #expect(try residency.acquire(3, waiter: 11) == [.evict(1)])
        #expect(residency.phase(of: 1) == .evicting)
        #expect(residency.evicted(1) == [.load(3)])
        #expect(residency.loaded(3) == [.grant(waiter: 11, model: 3)])
        #expect([0, 2, 3].allSatisfy { residency.phase(of: $0) == .ready })
    }

    @Test("small idle models stay when a larger one has to go anyway")
    func evictsNoMoreThanNeeded() throws {
        var residency = ModelResidency(byteCounts: [1, 8, 8], budget: 10, maxWaiterCount: 8)
        for model in 0..<2 {
            try use(model, UInt64(model), &residency)
            _ = residency.release(model)
        }
        #expect(try residency.acquire(2, waiter: 5) == [.evict(1)])
    }

    @Test("a model in use is never evicted; the request that needs its room is served before later ones for it")
    func drains() throws {
        var residency = makeResidency()
        try use(0, 1, &residency)
        #expect(try residency.acquire(1, waiter: 2) == [])
        #expect(residency.draining == [0])
        // Would be served at once otherwise.
        #expect(try residency.acquire(0, waiter: 3) == [])
        #expect(residency.release(0) == [.evict(0)])
        #expect(residency.evicted(0) == [.load(1)])
        // One more while it is loaded: all that wait for it get it before the next exchange.
        #expect(try residency.acquire(1, waiter: 4) == [])
        #expect(residency.loaded(1) == [.grant(waiter: 2, model: 1), .grant(waiter: 4, model: 1)])
        #expect(residency.draining == [1])
        #expect(residency.release(1) == [])
        #expect(residency.release(1) == [.evict(1)])
        #expect(residency.evicted(1) == [.load(0)])
        #expect(residency.loaded(0) == [.grant(waiter: 3, model: 0)])
    }

    @Test("when the request that needs the room gives up, the model in use goes on as before")
    func cancelledDrain() throws {
        var residency = makeResidency()
        try use(0, 1, &residency)
        _ = try residency.acquire(1, waiter: 2)
        _ = try residency.acquire(0, waiter: 3)
        #expect(residency.cancel(waiter: 2) == [.grant(waiter: 3, model: 0)])
        #expect(residency.draining.isEmpty)
        #expect(residency.cancel(waiter: 99) == [])
    }

    @Test("a small model does not overtake a large one that waits for room")
    func noOvertaking() throws {
        var residency = ModelResidency(byteCounts: [6, 10, 3], budget: 10, maxWaiterCount: 8)
        try use(0, 1, &residency)
        #expect(try residency.acquire(1, waiter: 2) == [])
        #expect(try residency.acquire(2, waiter: 3) == [])
        #expect(residency.release(0) == [.evict(0)])
        #expect(residency.evicted(0) == [.load(1)])
    }

    @Test("a model that cannot fit is refused, and so are waiters beyond the bound")
    func refusals() throws {
        var residency = makeResidency(budget: 5, maxWaiterCount: 1)
        #expect(throws: ModelResidency.Refusal.tooLarge(byteCount: 6, budget: 5)) {
            try residency.acquire(0, waiter: 1)
        }
        #expect(throws: ModelResidency.Refusal.tooLarge(byteCount: 6, budget: 5)) { try residency.preload(1) }
        #expect(try residency.acquire(2, waiter: 2) == [.load(2)])
        #expect(throws: ModelResidency.Refusal.queueFull(waiterCount: 1)) { try residency.acquire(2, waiter: 3) }
        #expect(residency.loaded(2) == [.grant(waiter: 2, model: 2)])
        // No waiting, no bound.
        #expect(try residency.acquire(2, waiter: 4) == [.grant(waiter: 4, model: 2)])
    }

    @Test("a failed load fails those who wait for it and lets the next model in")
    func failedLoad() throws {
        var residency = makeResidency()
        _ = try residency.acquire(0, waiter: 1)
        _ = try residency.acquire(0, waiter: 2)
        #expect(try residency.acquire(1, waiter: 3) == [])
        let (waiters, actions) = residency.loadFailed(0)
        #expect(waiters == [1, 2])
        #expect(actions == [.load(1)])
        #expect(residency.phase(of: 0) == .absent)
    }

    @Test("an idle model can be evicted without need, one that is wanted cannot")
    func evictsIdle() throws {
        var residency = makeResidency()
        try use(0, 1, &residency)
        #expect(residency.evictIfIdle(0) == [])
        _ = residency.release(0)
        #expect(residency.evictIfIdle(0) == [.evict(0)])
        #expect(residency.evictIfIdle(0) == [])
        #expect(try residency.acquire(0, waiter: 2) == [])
        #expect(residency.evicted(0) == [.load(0)])
    }

    @Test(
        "in random traffic the budget holds, models in use stay, and everybody who waits is served", arguments: 0..<40)
    func randomTraffic(seed: UInt64) throws {
        var random = RandomDraws(seed: seed)
        let count = 2 + random.below(4)
        let byteCounts = (0..<count).map { _ in 1 + random.below(9) }
        let budget = byteCounts.max().map { $0 + random.below(8) } ?? 0
        var residency = ModelResidency(byteCounts: byteCounts, budget: budget, maxWaiterCount: 1_000)
        var loading: [Int] = []
        var evicting: [Int] = []
        var users: [Int] = []
        var waiting: [UInt64: Int] = [:]
        var next: UInt64 = 0

        func perform(_ actions: [Action]) {
            for action in actions {
                switch action {
                case .load(let model):
                    #expect(!loading.contains(model))
                    loading.append(model)
                case .evict(let model):
                    #expect(!users.contains(model), "seed \(seed): model \(model) was evicted in use")
                    evicting.append(model)
                case .grant(let waiter, let model):
                    #expect(waiting.removeValue(forKey: waiter) == model)
                    #expect(residency.phase(of: model) == .ready)
                    users.append(model)
                }
            }
            #expect(residency.reservedByteCount <= budget)
        }
        func step(_ choice: Int) throws {
            switch choice {
            case 0 where !loading.isEmpty:
                let model = loading.remove(at: random.below(loading.count))
                if random.below(10) == 0 {
                    let (failed, actions) = residency.loadFailed(model)
                    for waiter in failed { #expect(waiting.removeValue(forKey: waiter) == model) }
                    perform(actions)
                } else {
                    perform(residency.loaded(model))
                }
            case 1 where !evicting.isEmpty:
                perform(residency.evicted(evicting.remove(at: random.below(evicting.count))))
            case 2 where !users.isEmpty:
                perform(residency.release(users.remove(at: random.below(users.count))))
            case 3 where !waiting.isEmpty && random.below(4) == 0:
                let waiter = waiting.keys.sorted()[random.below(waiting.count)]
                waiting[waiter] = nil
                perform(residency.cancel(waiter: waiter))
            default: break
            }
        }

        for _ in 0..<400 {
            if random.below(3) == 0 {
                next += 1
                let model = random.below(count)
                waiting[next] = model
                perform(try residency.acquire(model, waiter: next))
            } else {
                try step(random.below(4))
            }
        }
        // Nobody new comes; what is under way ends. Everybody must be served.
        var steps = 0
        while !waiting.isEmpty || !users.isEmpty || !loading.isEmpty || !evicting.isEmpty {
            try step(random.below(3))
            steps += 1
            if steps > 100_000 {
                Issue.record("seed \(seed): \(waiting.count) wait for ever")
                return
            }
        }
    }
}

/// A reproducible source of small numbers.
private struct RandomDraws {
    let seed: UInt64
    private var position: UInt64 = 0

    init(seed: UInt64) {
        self.seed = seed
    }

    mutating func below(_ bound: Int) -> Int {
        position += 1
        return Int(CounterRandom.bits(seed: seed, position: position) % UInt64(bound))
    }
}
