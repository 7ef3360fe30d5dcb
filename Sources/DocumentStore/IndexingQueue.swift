import RetrievalCore
import Synchronization

/// What became of an attachment.
package enum IndexingEvent: Sendable {
    case completed(vectorStoreID: String, fileID: String, chunks: Int)
    /// The attachment's status says why. `error` is for the log; it holds no content.
    case failed(vectorStoreID: String, fileID: String, code: String, error: any Error)
    /// Not even the failure could be written down; the job rests until the next start.
    case parked(vectorStoreID: String, fileID: String, error: any Error)
}

/// Takes attachments in progress from the databases and indexes them, a few at a time.
///
/// The queue itself is durable and bounded: it is the attachments' status. Here are only the jobs under way. Tenants take
/// turns; within one, the oldest attachment goes first.
final class IndexingQueue: Sendable {
    /// Chunks embedded by one call of the encoder; between two calls the job may be given up.
    static let embeddingBatch = 16

    private struct State {
        /// Jobs under way, by tenant and attachment.
        var taken: [String: Set<Int64>] = [:]
        /// Jobs whose failure could not be written down; not tried again before the next start.
        var parked: [String: Set<Int64>] = [:]
        var underWay = 0
        var lastTenant = ""
        var waiters: [CheckedContinuation<Void, any Error>] = []
    }

    private let onEvent: @Sendable (IndexingEvent) -> Void
    // One signal is enough however many changes there are, because each look at the databases takes all there is.
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation
    private let state = Mutex(State())

    init(onEvent: @escaping @Sendable (IndexingEvent) -> Void) {
        self.onEvent = onEvent
        (signals, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        signal.yield()
    }

    /// Says that there may be something to do.
    func wake() { signal.yield() }

    /// Works until the task is cancelled. Call it once.
    func run(store: DocumentStore) async {
        await withDiscardingTaskGroup { group in
            for await _ in signals {
                do {
                    while let (tenant, job) = try await claim(store: store) {
                        group.addTask {
                            await self.process(job, tenant, store)
                            self.release(job, tenant)
                            self.wake()
                        }
                    }
                } catch {
                    // The database could not be read; the next change of anything looks again.
                    onEvent(.parked(vectorStoreID: "", fileID: "", error: error))
                }
                resumeWaiters(store)
            }
        }
        let waiters = state.withLock { state in
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume(throwing: CancellationError()) }
    }

    /// Returns when nothing is under way and nothing waits; throws `CancellationError` when `run` ends before.
    func waitUntilIdle() async throws {
        try await withCheckedThrowingContinuation { continuation in
            state.withLock { $0.waiters.append(continuation) }
            wake()
        }
    }

    private func resumeWaiters(_ store: DocumentStore) {
        guard store.totals.pending == 0 else { return }
        let waiters = state.withLock { state in
            guard state.underWay == 0 else { return [CheckedContinuation<Void, any Error>]() }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// The next job of the tenant whose turn it is; nil when there is none or enough is under way.
    private func claim(store: DocumentStore) async throws -> (TenantStore, IndexingJob)? {
        let waiting = store.tenants.filter { $0.counters.pending > 0 }
        let (taken, last, isFull) = state.withLock { state in
            (
                state.taken.merging(state.parked) { $0.union($1) }, state.lastTenant,
                state.underWay >= store.configuration.indexingWorkers
            )
        }
        if isFull { return nil }
        let turns = waiting.filter { $0.tenant > last } + waiting.filter { $0.tenant <= last }
        for tenant in turns {
            let jobs = try await tenant.pendingJobs(excluding: taken[tenant.tenant] ?? [], limit: 1)
            guard let job = jobs.first else { continue }
            state.withLock { state in
                state.taken[tenant.tenant, default: []].insert(job.sequence)
                state.underWay += 1
                state.lastTenant = tenant.tenant
            }
            return (tenant, job)
        }
        return nil
    }

    private func release(_ job: IndexingJob, _ tenant: TenantStore) {
        state.withLock { state in
            state.taken[tenant.tenant]?.remove(job.sequence)
            state.underWay -= 1
        }
    }

    private func process(_ job: IndexingJob, _ tenant: TenantStore, _ store: DocumentStore) async {
        do {
            let chunks = try await index(job, tenant, store)
            guard let chunks else { return }
            try await tenant.complete(job, chunks)
            onEvent(.completed(vectorStoreID: job.vectorStoreID, fileID: job.fileID, chunks: chunks.count))
        } catch is CancellationError {
            // The store is stopping: the attachment stays in progress and is resumed at the next start.
        } catch let error as RetrievalError {
            let code: RetrievalError.Code = error.code == .unsupportedFile ? .unsupportedFile : .invalidFile
            await fail(job, tenant, code: code.rawValue, message: error.message, error: error)
        } catch {
            await fail(
                job, tenant, code: "server_error", message: "the file could not be indexed; attach it again to retry",
                error: error)
        }
    }

    /// Chunks and embeds a file; nil when the attachment has gone meanwhile.
    private func index(
        _ job: IndexingJob, _ tenant: TenantStore, _ store: DocumentStore
    ) async throws -> [IndexedChunk]? {
        let embedder = store.embedder
        let maxChunks = store.configuration.maxChunksPerFile
        let content: (file: FileRecord, bytes: [UInt8])
        do {
            content = try await tenant.readContent(job.fileID)
        } catch let error as StoreError where error.code == .notFound {
            return nil
        }
        let chunks = try await BlockingWork.run {
            let text = try TextExtractor.extract(
                content.bytes, filename: content.file.filename, contentType: content.file.contentType)
            let wanted = Chunker.Parameters(maxTokens: job.maxChunkTokens, overlapTokens: job.overlapTokens)
            let chunker = try Chunker(parameters: IndexedText.chunking(wanted, for: embedder))
            return try chunker.chunks(of: text, maxChunks: maxChunks, tokenCount: embedder.tokenCount)
        }
        var indexed: [IndexedChunk] = []
        indexed.reserveCapacity(chunks.count)
        for start in stride(from: 0, to: chunks.count, by: Self.embeddingBatch) {
            try Task.checkCancellation()
            guard try await tenant.isWanted(job) else { return nil }
            let batch = chunks[start..<min(start + Self.embeddingBatch, chunks.count)]
            let vectors = try await embedder.embed(
                batch.map { try IndexedText.embedded(text: $0.text, headings: $0.headings, by: embedder) },
                isBackground: true)
            guard vectors.count == batch.count, vectors.allSatisfy({ $0.count == embedder.dimension }) else {
                throw StoreError(
                    code: .internalError,
                    message: "the encoder gave \(vectors.count) vectors for \(batch.count) chunks, or of another width "
                        + "than \(embedder.dimension)")
            }
            for (chunk, vector) in zip(batch, vectors) { indexed.append(IndexedChunk(chunk: chunk, embedding: vector)) }
        }
        return indexed
    }

    private func fail(
        _ job: IndexingJob, _ tenant: TenantStore, code: String, message: String, error: any Error
    ) async {
        do {
            try await tenant.fail(job, code: code, message: message)
            onEvent(.failed(vectorStoreID: job.vectorStoreID, fileID: job.fileID, code: code, error: error))
        } catch {
            state.withLock { _ = $0.parked[tenant.tenant, default: []].insert(job.sequence) }
            onEvent(.parked(vectorStoreID: job.vectorStoreID, fileID: job.fileID, error: error))
        }
    }
}
