import Synchronization
import WireProtocols

/// An answer as it was generated: the head's own events, to be rendered again for each request that asks for it.
package struct CachedGeneration: Sendable {
    package var events: [ChoiceEvent]
    /// What a search put into the prompt; nil when the request did not ask for one.
    package var evidence: [Evidence]?
    /// Memory it takes, estimated, in bytes.
    package let cost: Int

    package init(events: [ChoiceEvent], evidence: [Evidence]?) {
        self.events = events
        self.evidence = evidence
        cost =
            events.reduce(512) { $0 + Self.cost($1.event) }
            + (evidence ?? []).reduce(0) { $0 + 512 + $1.text.utf8.count }
    }

    /// The bytes an event takes, estimated.
    static func cost(_ event: Fathom_Shard_V1_GenerateEvent) -> Int {
        switch event.kind {
        case .started(let started):
            256 + started.promptTokenIds.count * 4 + started.promptTokenBytes.count * 32 + cost(started.promptLogprobs)
        case .delta(let delta):
            192 + delta.text.utf8.count + delta.reasoning.utf8.count + delta.tokenIds.count * 4 + cost(delta.logprobs)
                + delta.toolCalls.reduce(0) { $0 + 128 + $1.name.utf8.count + $1.arguments.utf8.count }
        case .finished, nil: 256
        }
    }

    private static func cost(_ logprobs: [Fathom_Shard_V1_TokenLogprob]) -> Int {
        logprobs.reduce(0) { $0 + 128 + $1.top.count * 96 }
    }
}

/// Exact answers of deterministic requests, least recently used out first, bounded by entries and by bytes.
package final class ResponseCache: Sendable {
    private struct Entry {
        var value: CachedGeneration
        var previous: CacheKey?
        var next: CacheKey?
    }

    /// A doubly linked list through the table: `first` is the most recently used.
    private struct State {
        var entries: [CacheKey: Entry] = [:]
        var first: CacheKey?
        var last: CacheKey?
        var cost = 0

        mutating func detach(_ key: CacheKey) -> Entry? {
            guard let entry = entries.removeValue(forKey: key) else { return nil }
            if let previous = entry.previous { entries[previous]?.next = entry.next } else { first = entry.next }
            if let next = entry.next { entries[next]?.previous = entry.previous } else { last = entry.previous }
            cost -= entry.value.cost
            return entry
        }

        mutating func insertFirst(_ key: CacheKey, _ value: CachedGeneration) {
            entries[key] = Entry(value: value, previous: nil, next: first)
            if let first { entries[first]?.previous = key } else { last = key }
            first = key
            cost += value.cost
        }
    }

    private let maximumEntryCount: Int
    private let maximumCost: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - maximumEntryCount: 0 switches the cache off.
    ///   - maximumCost: of all entries together, in bytes; one entry may take an eighth of it.
    package init(maximumEntryCount: Int, maximumCost: Int) {
        self.maximumEntryCount = maximumEntryCount
        self.maximumCost = maximumCost
    }

    /// Largest entry that is kept, in bytes.
    package var maximumEntryCost: Int { maximumCost / 8 }

    /// Whether anything can be kept.
    package var isEnabled: Bool { maximumEntryCount > 0 && maximumCost > 0 }

    /// The answer of this key, which becomes the most recently used.
    package func value(for key: CacheKey) -> CachedGeneration? {
        state.withLock { state in
            guard let entry = state.detach(key) else { return nil }
            state.insertFirst(key, entry.value)
            return entry.value
        }
    }

    /// Keeps an answer and drops the least recently used ones that no longer fit.
    package func insert(_ value: CachedGeneration, for key: CacheKey) {
        guard isEnabled, value.cost <= maximumEntryCost else { return }
        state.withLock { state in
            _ = state.detach(key)
            state.insertFirst(key, value)
            while state.entries.count > maximumEntryCount || state.cost > maximumCost, let last = state.last {
                _ = state.detach(last)
            }
        }
    }

    /// Entries and bytes now.
    package var size: (entries: Int, cost: Int) { state.withLock { ($0.entries.count, $0.cost) } }
}
