/// Where a document store keeps its data, and its bounds.
package struct StoreConfiguration: Sendable {
    /// The data directory; created when missing, used by one process at a time.
    package var directory: String
    /// Tenants that may have data here.
    package var maxTenants = 1024
    /// Bytes of one file.
    package var maxFileBytes = 64 << 20
    package var maxFilesPerTenant = 10_000
    package var maxVectorStoresPerTenant = 1_000
    /// Chunks of one file; a file that gives more fails to index.
    package var maxChunksPerFile = 50_000
    /// Attachments of one tenant that wait for indexing.
    package var maxPendingPerTenant = 10_000
    /// Uploads under way at once, over all tenants.
    package var maxConcurrentUploads = 32
    /// Searches under way at once, over all tenants.
    package var maxConcurrentSearches = 64
    /// Vector stores whose indexes are in memory; the least recently searched one makes room.
    package var maxLoadedVectorStores = 256
    /// Batches of chunks embedded at the same time.
    package var indexingWorkers = 2
    /// Tenants whose databases are open. An idle one, the least recently used, is closed for another; those in use stay
    /// open, up to twice as many.
    package var maxOpenTenants = 256

    /// Descriptors that an open tenant takes at most.
    package static var descriptorsPerTenant: Int { TenantStore.descriptors }

    package init(directory: String) {
        self.directory = directory
    }

    /// - Throws: `invalidArgument` naming the first bound that is not positive.
    package func validate() throws {
        let bounds = [
            ("max tenants", maxTenants), ("max file bytes", maxFileBytes), ("max files", maxFilesPerTenant),
            ("max vector stores", maxVectorStoresPerTenant), ("max chunks per file", maxChunksPerFile),
            ("max pending", maxPendingPerTenant), ("max uploads", maxConcurrentUploads),
            ("max searches", maxConcurrentSearches), ("max loaded vector stores", maxLoadedVectorStores),
            ("indexing workers", indexingWorkers), ("max open tenants", maxOpenTenants),
        ]
        if let (name, value) = bounds.first(where: { $0.1 < 1 }) {
            throw StoreError(code: .invalidArgument, message: "\(name) must be at least 1, got \(value)")
        }
    }
}
