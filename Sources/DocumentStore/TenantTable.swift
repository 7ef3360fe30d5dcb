import Foundation
import Synchronization

/// The tenants with data here, and which of their databases are open.
///
/// A tenant is used under a lease. Idle tenants, the least recently used first, are closed when more than `capacity`
/// are open; their sizes stay known. Those under a lease stay open, up to twice `capacity`.
final class TenantTable: Sendable {
    private struct Entry {
        /// Nil while closed.
        var store: TenantStore?
        /// Sizes at the last closing.
        var counters: TenantStore.Counters
        var leases = 0
        var lastUse: UInt64 = 0

        var currentCounters: TenantStore.Counters { store?.counters ?? counters }
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var uses: UInt64 = 0
        var open = 0
        var isClosed = false
    }

    private let capacity: Int
    private let maxTenants: Int
    private let openStore: @Sendable (_ tenant: String, _ isFirstOpening: Bool) throws -> TenantStore
    private let state = Mutex(State())
    /// Held while a database is opened or closed, outside `state`: both take a while.
    private let opening = Mutex(())

    /// - Parameter openStore: Opens, or creates, a tenant's directory. Called by one thread at a time.
    init(
        capacity: Int, maxTenants: Int,
        openStore: @escaping @Sendable (_ tenant: String, _ isFirstOpening: Bool) throws -> TenantStore
    ) {
        self.capacity = capacity
        self.maxTenants = maxTenants
        self.openStore = openStore
    }

    /// Takes over a tenant that was opened at the start. Blocks when another has to be closed.
    func adopt(_ store: TenantStore) {
        state.withLock { state in
            state.uses += 1
            state.open += 1
            state.entries[store.tenant] = Entry(store: store, counters: store.counters, lastUse: state.uses)
        }
        closeIdle()
    }

    /// Sizes of every tenant, open or not.
    var counters: [TenantStore.Counters] { state.withLock { $0.entries.values.map(\.currentCounters) } }

    /// Tenants with attachments in progress.
    var waiting: [String] { names { $0.pending > 0 } }

    /// Tenants whose counters are as asked for, in no order.
    func names(where condition: (TenantStore.Counters) -> Bool) -> [String] {
        state.withLock { state in state.entries.filter { condition($0.value.currentCounters) }.map(\.key) }
    }

    /// Opens a tenant for as long as the lease lasts.
    ///
    /// - Returns: Nil for a tenant without data: reading never creates anything.
    /// - Throws: `unavailable` when the store is closed, `limitExceeded` when too many tenants are in use at once.
    func lease(_ tenant: String) async throws -> TenantLease? {
        try await lease(tenant, creating: false)
    }

    /// As `lease(_:)`; a tenant without data gets its directory.
    ///
    /// - Throws: `limitExceeded` for one tenant too many.
    func leaseCreating(_ tenant: String) async throws -> TenantLease {
        guard let lease = try await lease(tenant, creating: true) else {
            throw StoreError(code: .internalError, message: "a tenant was not created")
        }
        return lease
    }

    private func lease(_ tenant: String, creating: Bool) async throws -> TenantLease? {
        let (store, isKnown) = try state.withLock { state in
            (try Self.take(tenant, &state), state.entries[tenant] != nil)
        }
        if let store { return TenantLease(store: store, table: self) }
        guard isKnown || creating else { return nil }
        return try await BlockingWork.run {
            try self.opening.withLock { _ in try self.open(tenant) }
        }
    }

    /// Opens a tenant that was closed a moment ago. Under `opening`.
    private func open(_ tenant: String) throws -> TenantLease {
        let taken = try state.withLock { state -> TenantStore? in
            if let store = try Self.take(tenant, &state) { return store }
            let isKnown = state.entries[tenant] != nil
            guard isKnown || state.entries.count < maxTenants else {
                throw StoreError(
                    code: .limitExceeded, message: "there are \(state.entries.count) tenants already, the limit")
            }
            return nil
        }
        if let store = taken { return TenantLease(store: store, table: self) }
        closeIdleHoldingLock(room: 1)
        let isFirst = try state.withLock { state in
            guard state.open < 2 * capacity else {
                throw StoreError(
                    code: .limitExceeded, message: "\(state.open) tenants are in use at once; try again later")
            }
            return state.entries[tenant] == nil
        }
        let store = try openStore(tenant, isFirst)
        return state.withLock { state in
            state.open += 1
            state.uses += 1
            state.entries[tenant] = Entry(store: store, counters: store.counters, leases: 1, lastUse: state.uses)
            return TenantLease(store: store, table: self)
        }
    }

    /// Counts a lease in, if the tenant is open.
    private static func take(_ tenant: String, _ state: inout State) throws -> TenantStore? {
        guard !state.isClosed else { throw StoreError(code: .unavailable, message: "the store is closed") }
        guard let store = state.entries[tenant]?.store else { return nil }
        state.uses += 1
        state.entries[tenant]?.leases += 1
        state.entries[tenant]?.lastUse = state.uses
        return store
    }

    /// Counts a lease out.
    fileprivate func release(_ tenant: String) {
        let isTooMany = state.withLock { state in
            state.entries[tenant]?.leases -= 1
            return state.open > capacity
        }
        if isTooMany { BlockingWork.start { self.closeIdle() } }
    }

    private func closeIdle() { opening.withLock { _ in closeIdleHoldingLock(room: 0) } }

    /// Closes idle tenants until `room` more may be opened. Under `opening`.
    private func closeIdleHoldingLock(room: Int) {
        while let store = takeIdle(room: room) {
            // A database that cannot be closed in order is closed with its last reference; nothing is lost by that.
            try? store.close()
        }
    }

    private func takeIdle(room: Int) -> TenantStore? {
        state.withLock { state in
            guard state.open + room > capacity else { return nil }
            let idle = state.entries.filter { $0.value.store != nil && $0.value.leases == 0 }
            guard let oldest = idle.min(by: { $0.value.lastUse < $1.value.lastUse }), let store = oldest.value.store
            else { return nil }
            state.entries[oldest.key]?.counters = store.counters
            state.entries[oldest.key]?.store = nil
            state.open -= 1
            return store
        }
    }

    /// Closes everything. Later leases fail with `unavailable`.
    func close() throws {
        let stores = state.withLock { state in
            state.isClosed = true
            defer { state.entries = [:] }
            return state.entries.values.compactMap(\.store)
        }
        for store in stores { try store.close() }
    }
}

/// The use of an open tenant; it is not closed before the lease has ended.
final class TenantLease: Sendable {
    let store: TenantStore
    private let table: TenantTable
    private let isOver = Mutex(false)

    fileprivate init(store: TenantStore, table: TenantTable) {
        self.store = store
        self.table = table
    }

    deinit { end() }

    /// Ends the use; the second time without effect.
    func end() {
        let wasOver = isOver.withLock { isOver in
            defer { isOver = true }
            return isOver
        }
        if !wasOver { table.release(store.tenant) }
    }
}
