import DocumentStore
import Foundation
import ServiceSupport

/// Settings of the store. Configuration keys, besides those of ``CommonConfiguration``:
/// - `data`: directory of everything that is kept; needed.
/// - `encoder`: directory of the sentence encoder (model.safetensors, config.json, vocab.txt); needed.
/// - `threads`: threads of the encoder, 1...256, default: the processors, at most 8.
/// - `max-file-megabytes`: size of one file, 1...1,024 MiB, default 64.
/// - `max-files`: files of one tenant, default 10,000.
/// - `max-vector-stores`: vector stores of one tenant, default 1,000.
/// - `max-chunks-per-file`: default 50,000.
/// - `max-pending`: attachments of one tenant that wait for indexing, default 10,000.
/// - `max-tenants`: default 1,024.
/// - `max-open-tenants`: tenants whose databases are open at once, 1...100,000, default 256; fewer where the process
///   may have too few descriptors.
/// - `indexing-workers`: batches of chunks embedded at the same time, 1...64, default 2.
/// - `max-loaded-vector-stores`: vector stores with their indexes in memory, default 256.
package struct StoreServerConfiguration: Sendable {
    /// Port when nothing sets one.
    package static let defaultPort = 7200
    /// Keys without a flag.
    package static let fileOnlyKeys = [
        "max-file-megabytes", "max-files", "max-vector-stores", "max-chunks-per-file", "max-pending", "max-tenants",
        "max-open-tenants", "indexing-workers", "max-loaded-vector-stores",
    ]

    /// Directory of the encoder model.
    package var encoderDirectory: String
    /// Threads of the encoder.
    package var threads: Int
    /// Where documents are kept, and the bounds.
    package var store: StoreConfiguration

    package init(dataDirectory: String, encoderDirectory: String, threads: Int = 1) {
        self.encoderDirectory = encoderDirectory
        self.threads = threads
        store = StoreConfiguration(directory: dataDirectory)
    }

    /// Tenants that may be open, at least 1: twice as many can be in use at once, and half of the descriptors are for
    /// connections and uploads.
    static func openTenants(descriptors: Int) -> Int {
        max(1, descriptors / 2 / (2 * StoreConfiguration.descriptorsPerTenant))
    }

    /// - Throws: `ConfigurationError` for a missing or impossible value.
    package init(_ settings: ServiceConfiguration) throws {
        self.init(
            dataDirectory: try settings.requiredString("data", hint: "the directory in which documents are kept"),
            encoderDirectory: try settings.requiredString(
                "encoder", hint: "the directory of the all-minilm-l6-v2 model"),
            threads: try settings.int(
                "threads", default: min(8, ProcessInfo.processInfo.activeProcessorCount), in: 1...256))
        store.maxFileBytes = try settings.int("max-file-megabytes", default: 64, in: 1...1024) << 20
        store.maxFilesPerTenant = try settings.int("max-files", default: 10_000, in: 1...10_000_000)
        store.maxVectorStoresPerTenant = try settings.int("max-vector-stores", default: 1_000, in: 1...1_000_000)
        store.maxChunksPerFile = try settings.int("max-chunks-per-file", default: 50_000, in: 1...10_000_000)
        store.maxPendingPerTenant = try settings.int("max-pending", default: 10_000, in: 1...10_000_000)
        store.maxTenants = try settings.int("max-tenants", default: 1_024, in: 1...100_000)
        store.maxOpenTenants = try settings.int("max-open-tenants", default: 256, in: 1...100_000)
        store.indexingWorkers = try settings.int("indexing-workers", default: 2, in: 1...64)
        store.maxLoadedVectorStores = try settings.int("max-loaded-vector-stores", default: 256, in: 1...100_000)
    }
}
