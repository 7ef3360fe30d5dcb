import Synchronization

/// The vector stores whose indexes are in memory; the least recently searched one makes room for another.
final class PartitionTable: Sendable {
    private struct Entry {
        var partition: SearchPartition
        var lastUse: UInt64
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var uses: UInt64 = 0
    }

    private let capacity: Int
    private let state = Mutex(State())

    init(capacity: Int) {
        self.capacity = capacity
    }

    /// The partition of a vector store, made when it is not there. Ids are random, so those of two tenants never meet.
    func partition(_ vectorStoreID: String, make: () -> SearchPartition) -> SearchPartition {
        state.withLock { state in
            state.uses += 1
            if let entry = state.entries[vectorStoreID] {
                state.entries[vectorStoreID]?.lastUse = state.uses
                return entry.partition
            }
            if state.entries.count >= capacity,
                let oldest = state.entries.min(by: { $0.value.lastUse < $1.value.lastUse })
            {
                state.entries[oldest.key] = nil
            }
            let partition = make()
            state.entries[vectorStoreID] = Entry(partition: partition, lastUse: state.uses)
            return partition
        }
    }

    func remove(_ vectorStoreID: String) {
        state.withLock { $0.entries[vectorStoreID] = nil }
    }
}
