import RetrievalCore
import Synchronization

/// Takes attachments in progress from the databases and indexes them, a few batches at a time.
///
/// The queue itself is durable and bounded: it is the attachments' status, and how far each is stands in its database.
/// Here is only who works on what; ``IndexingTurns`` says whose turn it is.
final class IndexingQueue: Sendable {
    /// Chunks embedded by one call of the encoder: a turn.
    static let embeddingBatch = 16
    /// Files above this many bytes are cut into chunks beside the turns.
    static let largeFileBytes = 256 << 10

    private struct State {
        var turns: IndexingTurns
        var waiters: [CheckedContinuation<Void, any Error>] = []
    }

    private struct Claim {
        var tenant: String
        var lease: TenantLease
        var job: IndexingJob
        /// A large file is to be cut.
        var isPreparation: Bool
    }

    private let onEvent: @Sendable (IndexingEvent) -> Void
    // One signal is enough however many changes there are, because each look at the databases takes all there is.
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation
    private let state: Mutex<State>

    init(workers: Int, onEvent: @escaping @Sendable (IndexingEvent) -> Void) {
        self.onEvent = onEvent
        state = Mutex(State(turns: IndexingTurns(workers: workers, preparations: workers)))
        (signals, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        signal.yield()
    }

    /// Says that there may be something to do.
    func wake() { signal.yield() }

    /// Works until the task is cancelled. Call it once.
    func run(store: DocumentStore) async {
        await withDiscardingTaskGroup { group in
            for await _ in signals {
                var resting: [(tenant: String, pause: Duration)] = []
                while let claim = await claim(store, resting: &resting) {
                    group.addTask {
                        let pause = await self.take(claim, store)
                        claim.lease.end()
                        self.finish(claim)
                        if let pause { await self.rest(claim.tenant, pause) }
                    }
                }
                for (tenant, pause) in resting { group.addTask { await self.rest(tenant, pause) } }
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
            guard state.turns.isIdle else { return [CheckedContinuation<Void, any Error>]() }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    // MARK: Turns

    /// The next piece of work; nil when there is none or enough is under way. A tenant that cannot be read rests.
    private func claim(
        _ store: DocumentStore, resting: inout [(tenant: String, pause: Duration)]
    ) async -> Claim? {
        let waiting = store.tenants.waiting
        for turn in state.withLock({ $0.turns.next(of: waiting) }) {
            do {
                guard let lease = try await store.tenants.lease(turn.tenant) else { continue }
                if let claim = try await claim(turn, lease) { return claim }
                lease.end()
            } catch is CancellationError {
                return nil
            } catch {
                resting.append((turn.tenant, postpone(turn.tenant, vectorStoreID: "", fileID: "", error)))
            }
        }
        return nil
    }

    private func claim(_ turn: IndexingTurns.Turn, _ lease: TenantLease) async throws -> Claim? {
        let (taken, mayPrepare) = state.withLock { state in
            (state.turns.taken[turn.tenant] ?? [], state.turns.mayPrepareLargeFile)
        }
        let order = IndexingOrder(
            smallestFirst: turn.isSmallestFirst, largestToPrepare: mayPrepare ? nil : Self.largeFileBytes)
        do {
            guard let job = try await lease.store.nextJob(excluding: taken, order: order) else { return nil }
            let isPreparation = job.nextChunk == nil && job.sizeBytes > Self.largeFileBytes
            state.withLock { $0.turns.take(turn, job.sequence, isPreparation: isPreparation) }
            return Claim(tenant: turn.tenant, lease: lease, job: job, isPreparation: isPreparation)
        } catch {
            lease.end()
            throw error
        }
    }

    private func finish(_ claim: Claim) {
        state.withLock { $0.turns.finish(claim.tenant, claim.job.sequence, isPreparation: claim.isPreparation) }
        wake()
    }

    /// Says that a tenant's indexing rests, and for how long.
    private func postpone(
        _ tenant: String, vectorStoreID: String, fileID: String, _ error: any Error
    ) -> Duration {
        let pause = state.withLock { $0.turns.pause(tenant) }
        onEvent(.postponed(vectorStoreID: vectorStoreID, fileID: fileID, error: error, pause: pause))
        return pause
    }

    private func rest(_ tenant: String, _ pause: Duration) async {
        try? await Task.sleep(for: pause)
        state.withLock { $0.turns.resume(tenant) }
        wake()
    }

    // MARK: Work

    /// Does a claimed piece of work.
    ///
    /// - Returns: How long the tenant has to rest, when nothing could be done or written down.
    private func take(_ claim: Claim, _ store: DocumentStore) async -> Duration? {
        let job = claim.job
        do {
            do {
                try store.requireSpace(for: 0)
                let progress = try await advance(claim, store)
                state.withLock { $0.turns.succeed(claim.tenant) }
                if case .completed(let chunks) = progress {
                    onEvent(.completed(vectorStoreID: job.vectorStoreID, fileID: job.fileID, chunks: chunks))
                }
            } catch is CancellationError {
                // The store is stopping: the attachment stays in progress and goes on at the next start.
            } catch let error as StoreError
                where error.code == .insufficientStorage || error.code == .limitExceeded
            {
                // Nothing is wrong with the file: it comes again when there is room on the disk or in the encoder.
                throw error
            } catch let error as RetrievalError {
                let code: RetrievalError.Code = error.code == .unsupportedFile ? .unsupportedFile : .invalidFile
                try await fail(claim, code: code.rawValue, message: error.message, error: error)
            } catch {
                try await fail(
                    claim, code: "server_error", message: "the file could not be indexed; attach it again to retry",
                    error: error)
            }
            return nil
        } catch is CancellationError {
            return nil
        } catch {
            return postpone(claim.tenant, vectorStoreID: job.vectorStoreID, fileID: job.fileID, error)
        }
    }

    private func advance(_ claim: Claim, _ store: DocumentStore) async throws -> IndexingProgress {
        var job = claim.job
        if job.nextChunk == nil {
            guard let prepared = try await prepare(job, claim.lease.store, store) else { return .unwanted }
            if claim.isPreparation && prepared.chunkCount > 0 { return .goesOn }
            job = prepared
        }
        guard try await claim.lease.store.isWanted(job) else { return .unwanted }
        let stored = try await claim.lease.store.nextChunks(job, limit: Self.embeddingBatch)
        let embedder = store.embedder
        let pending = try stored.map {
            let input = try IndexedText.embedded(text: $0.text, headings: $0.headings, by: embedder)
            return PendingChunk(id: $0.id, input: input)
        }
        var chunks = try await claim.lease.store.fillKnown(pending)
        try await embed(&chunks, embedder)
        return try await claim.lease.store.store(job, chunks)
    }

    /// Cuts a file into chunks; nil when the attachment has gone meanwhile.
    private func prepare(
        _ job: IndexingJob, _ tenant: TenantStore, _ store: DocumentStore
    ) async throws -> IndexingJob? {
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
        try Task.checkCancellation()
        return try await tenant.prepare(job, chunks, dimension: embedder.dimension)
    }

    /// Fills in the embeddings that are not known yet.
    private func embed(_ chunks: inout [PendingChunk], _ embedder: any TextEmbedder) async throws {
        let missing = chunks.indices.filter { chunks[$0].embedding?.count != embedder.dimension }
        guard !missing.isEmpty else { return }
        let vectors = try await embedder.embed(missing.map { chunks[$0].input }, isBackground: true)
        guard vectors.count == missing.count, vectors.allSatisfy({ $0.count == embedder.dimension }) else {
            throw StoreError(
                code: .internalError,
                message: "the encoder gave \(vectors.count) vectors for \(missing.count) chunks, or of another width "
                    + "than \(embedder.dimension)")
        }
        for (index, vector) in zip(missing, vectors) { chunks[index].embedding = vector }
    }

    private func fail(_ claim: Claim, code: String, message: String, error: any Error) async throws {
        let job = claim.job
        try await claim.lease.store.fail(job, code: code, message: message)
        state.withLock { $0.turns.succeed(claim.tenant) }
        onEvent(.failed(vectorStoreID: job.vectorStoreID, fileID: job.fileID, code: code, error: error))
    }
}
