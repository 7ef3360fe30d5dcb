/// Which models are in memory, who uses them and who waits for one: what ``ModelPool`` decides, as a value without
/// clock, files or threads.
///
/// The byte counts of all models that are not absent never exceed the budget. A model with users is never evicted.
/// Waiters are served in order of arrival: when the first one's model has no room, the least recently used idle models
/// make way, and when those do not suffice, models in use are drained: later requests for them wait behind it. What
/// waits for a model when it has been loaded is served at once, so that models which cannot be in memory together take
/// turns, each with everything that has come in for it.
package struct ModelResidency: Sendable {
    package enum Phase: Sendable, Equatable {
        case absent
        case loading
        case ready
        case evicting
    }

    /// What the owner must do. `load` and `evict` are answered by `loaded`, `loadFailed` or `evicted`.
    package enum Action: Sendable, Equatable {
        case load(Int)
        case evict(Int)
        case grant(waiter: UInt64, model: Int)
    }

    package enum Refusal: Error, Sendable, Equatable {
        /// It would not fit if it were alone.
        case tooLarge(byteCount: Int, budget: Int)
        case queueFull(waiterCount: Int)
    }

    private struct Entry {
        var byteCount: Int
        var phase = Phase.absent
        var userCount = 0
        /// Grows with every use; the smallest is the least recent.
        var lastUse: UInt64 = 0
    }

    private struct Waiter {
        let id: UInt64
        let model: Int
    }

    /// Bytes that the loaded models may take together; nil: no bound.
    package let budget: Int?
    /// Waiters over all models; more are refused.
    package let maxWaiterCount: Int
    private var entries: [Entry]
    /// In order of arrival.
    private var queue: [Waiter] = []
    /// Models in use that take no further users, because an earlier waiter needs their room.
    package private(set) var draining: Set<Int> = []
    private var useCount: UInt64 = 0

    /// - Parameter byteCounts: what each model takes while it is loaded; models are named by their index here.
    package init(byteCounts: [Int], budget: Int?, maxWaiterCount: Int) {
        entries = byteCounts.map { Entry(byteCount: $0) }
        self.budget = budget
        self.maxWaiterCount = maxWaiterCount
    }

    // MARK: - What is

    package func phase(of model: Int) -> Phase { entries[model].phase }
    package func byteCount(of model: Int) -> Int { entries[model].byteCount }
    package func userCount(of model: Int) -> Int { entries[model].userCount }
    package func waiterCount(of model: Int) -> Int { queue.count { $0.model == model } }

    /// Bytes of all models that are loaded, being loaded or being evicted.
    package var reservedByteCount: Int {
        entries.reduce(0) { $0 + ($1.phase == .absent ? 0 : $1.byteCount) }
    }

    // MARK: - What happens

    /// Corrects what an absent model will take.
    package mutating func setByteCount(_ byteCount: Int, of model: Int) {
        if entries[model].phase == .absent { entries[model].byteCount = byteCount }
    }

    /// A model is going to be loaded without anybody waiting.
    ///
    /// - Throws: `tooLarge` unless it fits now.
    package mutating func preload(_ model: Int) throws(Refusal) {
        precondition(entries[model].phase == .absent, "model \(model) is \(entries[model].phase) already")
        if let budget, reservedByteCount + entries[model].byteCount > budget {
            throw .tooLarge(byteCount: entries[model].byteCount, budget: budget)
        }
        entries[model].phase = .loading
    }

    /// Somebody wants to use a model.
    ///
    /// - Returns: among others a `grant`, unless the waiter has to wait.
    package mutating func acquire(_ model: Int, waiter: UInt64) throws(Refusal) -> [Action] {
        if entries[model].phase == .ready, !draining.contains(model) { return [grant(model, to: waiter)] }
        if let budget, entries[model].byteCount > budget {
            throw .tooLarge(byteCount: entries[model].byteCount, budget: budget)
        }
        guard queue.count < maxWaiterCount else { throw .queueFull(waiterCount: queue.count) }
        queue.append(Waiter(id: waiter, model: model))
        return advance()
    }

    /// A waiter has given up; without effect when it waits no more.
    package mutating func cancel(waiter: UInt64) -> [Action] {
        queue.removeAll { $0.id == waiter }
        return advance()
    }

    /// A user of a model has ended.
    package mutating func release(_ model: Int) -> [Action] {
        precondition(entries[model].userCount > 0, "model \(model) is released more often than it was granted")
        entries[model].userCount -= 1
        touch(model)
        return advance()
    }

    package mutating func loaded(_ model: Int) -> [Action] {
        precondition(entries[model].phase == .loading, "model \(model) is \(entries[model].phase), not loading")
        entries[model].phase = .ready
        touch(model)
        // Everybody who waits for it, whatever came in between: loading was dear.
        let grants = queue.filter { $0.model == model }.map { grant(model, to: $0.id) }
        queue.removeAll { $0.model == model }
        return grants + advance()
    }

    /// - Returns: also those who waited for it; they wait no more.
    package mutating func loadFailed(_ model: Int) -> (waiters: [UInt64], actions: [Action]) {
        precondition(entries[model].phase == .loading, "model \(model) is \(entries[model].phase), not loading")
        entries[model].phase = .absent
        let waiters = queue.filter { $0.model == model }.map(\.id)
        queue.removeAll { $0.model == model }
        return (waiters, advance())
    }

    package mutating func evicted(_ model: Int) -> [Action] {
        precondition(entries[model].phase == .evicting, "model \(model) is \(entries[model].phase), not evicting")
        entries[model].phase = .absent
        return advance()
    }

    /// Evicts a model that nobody uses or waits for.
    package mutating func evictIfIdle(_ model: Int) -> [Action] {
        guard entries[model].phase == .ready, entries[model].userCount == 0, waiterCount(of: model) == 0 else {
            return []
        }
        entries[model].phase = .evicting
        return [.evict(model)]
    }

    /// Everybody stops waiting.
    package mutating func removeAllWaiters() -> [UInt64] {
        defer { queue.removeAll() }
        draining = []
        return queue.map(\.id)
    }

    // MARK: - Decisions

    /// Looks at the queue again, from its front.
    private mutating func advance() -> [Action] {
        var actions: [Action] = []
        draining = []
        // Behind the first model without room no other is loaded: it would take what that one waits for.
        var isBlocked = false
        var waiting: [Waiter] = []
        for waiter in queue {
            if entries[waiter.model].phase == .absent, !isBlocked {
                if makeRoom(for: waiter.model, &actions) {
                    entries[waiter.model].phase = .loading
                    actions.append(.load(waiter.model))
                } else {
                    isBlocked = true
                }
            }
            if entries[waiter.model].phase == .ready, !draining.contains(waiter.model) {
                actions.append(grant(waiter.model, to: waiter.id))
            } else {
                waiting.append(waiter)
            }
        }
        queue = waiting
        return actions
    }

    /// - Returns: whether the model fits now. If not, and if it helps, others have begun to make way.
    private mutating func makeRoom(for model: Int, _ actions: inout [Action]) -> Bool {
        guard let budget else { return true }
        let missing = reservedByteCount + entries[model].byteCount - budget
        if missing <= 0 { return true }
        let coming = entries.reduce(0) { $0 + ($1.phase == .evicting ? $1.byteCount : 0) }
        for victim in victims(freeing: missing - coming) {
            if entries[victim].userCount == 0 {
                entries[victim].phase = .evicting
                actions.append(.evict(victim))
            } else {
                draining.insert(victim)
            }
        }
        return false
    }

    /// The models to evict for `byteCount` bytes: idle ones first, the least recently used first; none when all together
    /// do not suffice.
    private func victims(freeing byteCount: Int) -> [Int] {
        guard byteCount > 0 else { return [] }
        let candidates = entries.indices.filter { entries[$0].phase == .ready }.sorted { left, right in
            let (a, b) = (entries[left], entries[right])
            return (a.userCount > 0 ? 1 : 0, a.lastUse) < (b.userCount > 0 ? 1 : 0, b.lastUse)
        }
        var chosen: [Int] = []
        var freed = 0
        for candidate in candidates where freed < byteCount {
            chosen.append(candidate)
            freed += entries[candidate].byteCount
        }
        guard freed >= byteCount else { return [] }
        // One that a later, larger one makes unnecessary stays.
        for candidate in chosen where freed - entries[candidate].byteCount >= byteCount {
            chosen.removeAll { $0 == candidate }
            freed -= entries[candidate].byteCount
        }
        return chosen
    }

    private mutating func grant(_ model: Int, to waiter: UInt64) -> Action {
        entries[model].userCount += 1
        touch(model)
        return .grant(waiter: waiter, model: model)
    }

    private mutating func touch(_ model: Int) {
        useCount += 1
        entries[model].lastUse = useCount
    }
}
