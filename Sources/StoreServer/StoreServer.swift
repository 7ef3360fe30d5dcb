import DocumentStore
import Encoder
import Foundation
import Logging
import ServiceLifecycle
import ServiceSupport
import Wire

/// The store process: documents, vector stores, search and embeddings behind `fathom.store.v1.Store`.
package struct StoreServer: Sendable {
    /// What the process runs, in the order of starting.
    package let services: [any Service]
    /// The wire server, for its address.
    package let wire: WireServer

    /// Loads the encoder and opens the data directory; nothing listens before the services run.
    ///
    /// - Throws: `EncoderError` for an unusable model, `StoreError` for an unusable data directory.
    package init(_ configuration: StoreServerConfiguration, process: ServiceProcess) throws {
        let metrics = StoreMetrics(process.metrics)
        let encoder = try SentenceEncoder(
            directory: configuration.encoderDirectory, threads: configuration.threads)
        let modelName = URL(fileURLWithPath: configuration.encoderDirectory).standardizedFileURL.lastPathComponent
        let logger = process.logging.logger("store")
        let limit = process.descriptorLimit
        var bounds = configuration.store
        bounds.maxOpenTenants = min(bounds.maxOpenTenants, StoreServerConfiguration.openTenants(descriptors: limit))
        if bounds.maxOpenTenants < configuration.store.maxOpenTenants {
            logger.warning(
                "too few descriptors for the tenants that may be open",
                metadata: [
                    "descriptors": "\(limit)", "max-open-tenants": "\(configuration.store.maxOpenTenants)",
                    "open.tenants": "\(bounds.maxOpenTenants)",
                ])
        }
        let store = try DocumentStore(
            configuration: bounds,
            embedder: EncoderEmbedder(
                encoder: encoder, modelName: modelName, embeddedTokens: metrics.embeddedTokens),
            onIndexingEvent: { IndexingLog.write($0, to: logger) })
        for (name, error) in store.unusableDirectories {
            logger.error(
                "a tenant's directory cannot be opened", metadata: ["directory": "\(name)", "error": "\(error)"])
        }
        StoreMetrics.register(store, in: process.metrics)
        process.identity.setAttribute("model", modelName)
        var router = RPCRouter()
        StoreRPCs(store: store, encoder: encoder, modelName: modelName, metrics: metrics, logger: logger)
            .add(to: &router)
        wire = process.makeWireServer(router)
        // The indexing stops last, and with it the databases: calls that drain can still write.
        services = [IndexingService(store: store, process: process), wire, process.listening(wire)]
        let totals = store.totals
        logger.info(
            "store opened",
            metadata: [
                "files": "\(totals.files)", "chunks": "\(totals.chunks)", "pending": "\(totals.pending)",
                "encoder": "\(modelName)",
            ])
    }
}

/// Indexes in the background from start to shutdown, then closes the store.
private struct IndexingService: Service {
    let store: DocumentStore
    let process: ServiceProcess

    func run() async throws {
        process.health.set(serving: true)
        await cancelWhenGracefulShutdown { await store.run() }
        try store.close()
    }
}

/// Says in the log what became of attachments.
private enum IndexingLog {
    static func write(_ event: IndexingEvent, to logger: Logger) {
        switch event {
        case .completed(let vectorStoreID, let fileID, let chunks):
            logger.info(
                "file indexed",
                metadata: ["vector_store.id": "\(vectorStoreID)", "file.id": "\(fileID)", "chunks": "\(chunks)"])
        case .failed(let vectorStoreID, let fileID, let code, let error):
            logger.warning(
                "file not indexed",
                metadata: [
                    "vector_store.id": "\(vectorStoreID)", "file.id": "\(fileID)", "error.code": "\(code)",
                    "error": "\(error)",
                ])
        case .postponed(let vectorStoreID, let fileID, let error, let pause):
            logger.error(
                "indexing cannot go on, to be tried again",
                metadata: [
                    "vector_store.id": "\(vectorStoreID)", "file.id": "\(fileID)", "error": "\(error)",
                    "pause": "\(pause)",
                ])
        }
    }
}
