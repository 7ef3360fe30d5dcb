import Crypto
import Foundation
import RetrievalCore
import Synchronization

/// Files, vector stores and search of many tenants, durable on local disk.
///
///     DIR/lock                                 held while the store is open
///     DIR/tenants/<SHA-256(tenant), 32 hex>/   everything of one tenant: store.sqlite, files/, uploads/
///
/// Every call names its tenant and sees that tenant's directory only. What a call has returned survives `kill -9`;
/// indexing that a crash interrupted goes on at the next opening. `run()` does the indexing.
package final class DocumentStore: Sendable {
    /// Totals over all tenants, for metrics.
    package struct Totals: Sendable, Equatable {
        package var files = 0
        package var chunks = 0
        /// Attachments waiting for indexing or being indexed.
        package var pending = 0

        package init(files: Int = 0, chunks: Int = 0, pending: Int = 0) {
            self.files = files
            self.chunks = chunks
            self.pending = pending
        }
    }

    private struct State {
        var tenants: [String: TenantStore] = [:]
        var uploads = 0
        var searches = 0
        var isClosed = false
    }

    package let configuration: StoreConfiguration
    let embedder: any TextEmbedder
    private let now: @Sendable () -> Int
    private let lock: DirectoryLock
    private let partitions: PartitionTable
    let indexing: IndexingQueue
    private let state = Mutex(State())

    /// Opens the store and every tenant in it.
    ///
    /// - Parameters:
    ///   - now: Unix seconds.
    ///   - onIndexingEvent: Called when an attachment is indexed, or could not be.
    /// - Throws: `invalidArgument` for impossible bounds, `unavailable` when another process has the directory,
    ///   `dataLoss` for a directory that is not what its name says.
    package init(
        configuration: StoreConfiguration, embedder: any TextEmbedder,
        now: @escaping @Sendable () -> Int = { Int(Date().timeIntervalSince1970) },
        onIndexingEvent: @escaping @Sendable (IndexingEvent) -> Void = { _ in }
    ) throws {
        try configuration.validate()
        self.configuration = configuration
        self.embedder = embedder
        self.now = now
        let root = "\(configuration.directory)/tenants"
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        lock = try DirectoryLock(directory: configuration.directory)
        partitions = PartitionTable(capacity: configuration.maxLoadedVectorStores)
        indexing = IndexingQueue(onEvent: onIndexingEvent)
        for name in try FileManager.default.contentsOfDirectory(atPath: root).sorted() {
            let directory = "\(root)/\(name)"
            // A crash before the first transaction leaves a directory that is nobody's yet.
            guard let tenant = try TenantStore.tenantName(directory: directory) else { continue }
            guard name == Self.directoryName(tenant) else {
                throw StoreError(code: .dataLoss, message: "tenant directory \(name) holds another tenant's database")
            }
            let store = try openTenant(tenant)
            state.withLock { $0.tenants[tenant] = store }
        }
    }

    /// Indexes attached files until the task is cancelled; what is unfinished then is resumed at the next opening.
    package func run() async {
        await indexing.run(store: self)
    }

    /// Returns when no attachment of any tenant waits for indexing. `run` must be running.
    package func waitUntilIndexed() async throws {
        try await indexing.waitUntilIdle()
    }

    package var totals: Totals {
        tenants.reduce(into: Totals()) { totals, tenant in
            let counters = tenant.counters
            totals.files += counters.files
            totals.chunks += counters.chunks
            totals.pending += counters.pending
        }
    }

    /// Closes the databases. Later calls fail with `unavailable`.
    package func close() throws {
        let tenants = state.withLock { state in
            state.isClosed = true
            defer { state.tenants = [:] }
            return Array(state.tenants.values)
        }
        defer { lock.release() }
        for tenant in tenants { try tenant.close() }
    }

    // MARK: Tenants

    var tenants: [TenantStore] {
        state.withLock { $0.tenants.values.sorted { $0.tenant < $1.tenant } }
    }

    /// The tenant's store, or nil when it has no data yet: reading never creates anything.
    func existingTenant(_ tenant: String) async throws -> TenantStore? {
        try StoreValidation.tenant(tenant)
        return try state.withLock { state in
            guard !state.isClosed else { throw StoreError(code: .unavailable, message: "the store is closed") }
            return state.tenants[tenant]
        }
    }

    /// The tenant's store, created with its first data.
    func tenant(_ tenant: String) async throws -> TenantStore {
        if let existing = try await existingTenant(tenant) { return existing }
        return try await BlockingWork.run {
            // Under the lock, so that two first calls do not create the database twice.
            try self.state.withLock { state in
                if let existing = state.tenants[tenant] { return existing }
                guard state.tenants.count < self.configuration.maxTenants, !state.isClosed else {
                    throw StoreError(
                        code: .limitExceeded, message: "there are \(state.tenants.count) tenants already, the limit")
                }
                let store = try self.openTenant(tenant)
                state.tenants[tenant] = store
                return store
            }
        }
    }

    private func openTenant(_ tenant: String) throws -> TenantStore {
        let directory = "\(configuration.directory)/tenants/\(Self.directoryName(tenant))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try ContentDirectory.syncDirectory("\(configuration.directory)/tenants")
        return try TenantStore(
            tenant: tenant, directory: directory, configuration: configuration,
            embedderName: "\(embedder.modelName)/\(embedder.dimension)", now: now)
    }

    private static func directoryName(_ tenant: String) -> String {
        String(StoreIdentifier.sha256(tenant).prefix(32))
    }

    // MARK: Uploads and searches under way

    /// Counts an upload in.
    ///
    /// - Returns: What counts it out.
    func enterUpload() throws -> @Sendable () -> Void {
        try state.withLock { state in
            guard state.uploads < configuration.maxConcurrentUploads else {
                throw StoreError(
                    code: .limitExceeded, message: "\(state.uploads) uploads are under way already; try again later")
            }
            state.uploads += 1
        }
        return { self.state.withLock { $0.uploads -= 1 } }
    }

    func enterSearch() throws {
        try state.withLock { state in
            guard state.searches < configuration.maxConcurrentSearches else {
                throw StoreError(
                    code: .limitExceeded, message: "\(state.searches) searches are under way already; try again later")
            }
            state.searches += 1
        }
    }

    func leaveSearch() { state.withLock { $0.searches -= 1 } }

    func partition(_ vectorStoreID: String, of tenant: TenantStore) -> SearchPartition {
        partitions.partition(vectorStoreID) {
            SearchPartition(
                vectorStoreID: vectorStoreID, database: tenant.database, dimension: embedder.dimension)
        }
    }

    func forgetPartition(_ vectorStoreID: String) { partitions.remove(vectorStoreID) }
}
