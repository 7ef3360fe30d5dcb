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
///
/// A disk without room refuses uploads, and then other writes, with `insufficientStorage`; reads and searches go on,
/// and indexing goes on by itself once there is room.
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
        var uploads = 0
        var searches = 0
    }

    /// How often expired files and vector stores of tenants that nobody uses are looked for.
    private static let expiryInterval = Duration.seconds(60)

    package let configuration: StoreConfiguration
    /// Tenant directories that could not be opened at the start, by name, with the reason. Calls for them try again.
    package let unusableDirectories: [(name: String, error: any Error)]
    let embedder: any TextEmbedder
    let tenants: TenantTable
    let indexing: IndexingQueue
    private let now: @Sendable () -> Int
    private let diskSpace: @Sendable () -> DiskSpace
    private let lock: DirectoryLock
    private let partitions: PartitionTable
    private let state = Mutex(State())

    /// Opens the store. Every tenant in it is opened once, to clean up after a crash and to see what waits for
    /// indexing.
    ///
    /// - Parameters:
    ///   - now: Unix seconds.
    ///   - diskSpace: The room on the disk; nil: that of the file system.
    ///   - onIndexingEvent: Called when an attachment is indexed, or could not be.
    /// - Throws: `invalidArgument` for impossible bounds, `unavailable` when another process has the directory.
    package init(
        configuration: StoreConfiguration, embedder: any TextEmbedder,
        now: @escaping @Sendable () -> Int = { Int(Date().timeIntervalSince1970) },
        diskSpace: (@Sendable () -> DiskSpace)? = nil,
        onIndexingEvent: @escaping @Sendable (IndexingEvent) -> Void = { _ in }
    ) throws {
        try configuration.validate()
        self.configuration = configuration
        self.embedder = embedder
        self.now = now
        if let diskSpace {
            self.diskSpace = diskSpace
        } else {
            self.diskSpace = { DiskSpace.of(configuration.directory) }
        }
        let root = "\(configuration.directory)/tenants"
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        lock = try DirectoryLock(directory: configuration.directory)
        partitions = PartitionTable(capacity: configuration.maxLoadedVectorStores)
        indexing = IndexingQueue(workers: configuration.indexingWorkers, onEvent: onIndexingEvent)
        let embedderName = "\(embedder.modelName)/\(embedder.dimension)"
        tenants = TenantTable(
            capacity: configuration.maxOpenTenants, maxTenants: configuration.maxTenants
        ) { tenant, isFirstOpening in
            let directory = "\(root)/\(DocumentStore.directoryName(tenant))"
            return try DatabaseFailure.translating(configuration.directory) {
                if !FileManager.default.fileExists(atPath: directory) {
                    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                    try ContentDirectory.syncDirectory(root)
                }
                return try TenantStore(
                    tenant: tenant, directory: directory, configuration: configuration, embedderName: embedderName,
                    isFirstOpening: isFirstOpening, now: now)
            }
        }
        var unusable: [(name: String, error: any Error)] = []
        for name in try FileManager.default.contentsOfDirectory(atPath: root).sorted() {
            // A crash before the first transaction leaves a directory that is nobody's yet.
            guard FileManager.default.fileExists(atPath: "\(root)/\(name)/store.sqlite") else { continue }
            do {
                let store = try TenantStore(
                    tenant: nil, directory: "\(root)/\(name)", configuration: configuration,
                    embedderName: embedderName, isFirstOpening: true, now: now)
                guard name == DocumentStore.directoryName(store.tenant) else {
                    throw StoreError(code: .dataLoss, message: "the directory holds another tenant's database")
                }
                tenants.adopt(store)
            } catch {
                unusable.append((name, error))
            }
        }
        unusableDirectories = unusable
    }

    /// Indexes attached files and lets files and vector stores expire until the task is cancelled; what is unfinished
    /// then is resumed at the next opening.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.indexing.run(store: self) }
            group.addTask {
                while !Task.isCancelled {
                    await self.expireIdle()
                    try? await Task.sleep(for: Self.expiryInterval)
                }
            }
        }
    }

    /// Returns when no attachment of any tenant waits for indexing. `run` must be running.
    package func waitUntilIndexed() async throws {
        try await indexing.waitUntilIdle()
    }

    package var totals: Totals {
        tenants.counters.reduce(into: Totals()) { totals, counters in
            totals.files += counters.files
            totals.chunks += counters.chunks
            totals.pending += counters.pending
        }
    }

    /// Closes the databases. Later calls fail with `unavailable`.
    package func close() throws {
        defer { lock.release() }
        try tenants.close()
    }

    // MARK: Tenants

    /// Runs `body` with the tenant's store, which is created with its first data.
    func withTenant<Result>(_ tenant: String, _ body: (TenantStore) async throws -> Result) async throws -> Result {
        try StoreValidation.tenant(tenant)
        let lease = try await tenants.leaseCreating(tenant)
        defer { lease.end() }
        try await expire(lease.store)
        return try await body(lease.store)
    }

    /// As `withTenant`; a tenant without data gets `missing()` instead: reading never creates anything.
    func withExistingTenant<Result>(
        _ tenant: String, missing: () throws -> Result, _ body: (TenantStore) async throws -> Result
    ) async throws -> Result {
        try StoreValidation.tenant(tenant)
        guard let lease = try await lease(tenant) else { return try missing() }
        defer { lease.end() }
        try await expire(lease.store)
        return try await body(lease.store)
    }

    private func lease(_ tenant: String) async throws -> TenantLease? {
        if let lease = try await tenants.lease(tenant) { return lease }
        // Its data is there; whether it can be read now is for the opening to say.
        guard unusableDirectories.contains(where: { $0.name == Self.directoryName(tenant) }) else { return nil }
        return try await tenants.leaseCreating(tenant)
    }

    private static func directoryName(_ tenant: String) -> String {
        String(StoreIdentifier.sha256(tenant).prefix(32))
    }

    // MARK: Expiry

    /// Deletes a tenant's files and vector stores whose time is over, so that no call sees them.
    private func expire(_ tenant: TenantStore) async throws {
        guard let next = tenant.counters.nextExpiry, next <= now() else { return }
        for id in try await tenant.deleteExpired() { forgetPartition(id) }
    }

    private func expireIdle() async {
        let moment = now()
        for name in tenants.names(where: { $0.nextExpiry.map { $0 <= moment } ?? false }) {
            // What fails now is tried again in a minute, and by each call of the tenant.
            guard let lease = try? await tenants.lease(name) else { continue }
            try? await expire(lease.store)
            lease.end()
        }
    }

    // MARK: Uploads and searches under way

    /// - Throws: `insufficientStorage` when the disk has no room for `bytes` more.
    func requireSpace(for bytes: Int) throws { try diskSpace().require(bytes) }

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

    func partition(_ vectorStoreID: String) -> SearchPartition {
        partitions.partition(vectorStoreID) {
            SearchPartition(vectorStoreID: vectorStoreID, dimension: embedder.dimension)
        }
    }

    func forgetPartition(_ vectorStoreID: String) { partitions.remove(vectorStoreID) }
}
