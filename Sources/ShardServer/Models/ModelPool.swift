import InferenceCore
import ServiceLifecycle
import Synchronization

/// The models of one process: loads them when they are asked for, lends them out, and evicts the least recently used
/// idle ones when another needs their room. What happens when is decided by ``ModelResidency``.
///
/// Loading and evicting happen in the tasks of `run`; a model that is loaded is lent without suspending.
package final class ModelPool<Model: HostedModel>: Service {
    /// Reads a model into memory, off the cooperative pool where that takes long.
    package typealias Load = @Sendable (_ index: Int) async throws -> Model

    /// What the owner may want to log or count.
    package enum Event: Sendable {
        case loaded(Int, Duration)
        case failed(Int, InferenceError)
        case evicted(Int, Duration)
    }

    /// One model at a moment.
    package struct Snapshot: Sendable {
        package var phase: ModelResidency.Phase
        /// Set while it takes requests.
        package var model: Model?
        package var userCount: Int
        package var waiterCount: Int
        package var byteCount: Int
        /// Why the last attempt to load it failed; nil once one succeeded.
        package var failure: InferenceError?
    }

    private struct Slot {
        var model: Model?
        var failure: InferenceError?
        var failedAt: ContinuousClock.Instant?
        /// Attempts that failed since one succeeded.
        var failureCount = 0
        /// Since when nobody uses it.
        var idleSince = ContinuousClock.now
    }

    private struct State {
        var residency: ModelResidency
        var slots: [Slot]
        var waiters: [UInt64: CheckedContinuation<Model, any Error>] = [:]
        var nextWaiter: UInt64 = 0
        var isStopping = false
    }

    private enum Job: Sendable {
        case load(Int)
        case evict(Int)
    }

    /// A model that could not be loaded is not tried again for this long, doubled with each attempt up to a minute:
    /// requests for it fail at once, and do not drive others out of memory again and again.
    package static var failurePause: Duration { .seconds(2) }

    private static func pause(after failureCount: Int) -> Duration {
        failurePause * (1 << min(max(0, failureCount - 1), 5))
    }

    /// Of the models, in the order of the configuration.
    package let names: [String]
    private let idleLimit: Duration?
    private let load: Load
    private let onEvent: @Sendable (Event) -> Void
    private let state: Mutex<State>
    private let jobs: AsyncStream<Job>
    private let jobWriter: AsyncStream<Job>.Continuation

    /// - Parameters:
    ///   - names: of the models, for messages.
    ///   - residency: all absent, one entry for each name.
    ///   - idleLimit: models but the first are evicted when nobody has used them for so long; nil: only for room.
    ///   - load: called once at a time for each model.
    ///   - onEvent: called from tasks of `run`; must not block.
    package init(
        names: [String], residency: ModelResidency, idleLimit: Duration? = nil, load: @escaping Load,
        onEvent: @escaping @Sendable (Event) -> Void = { _ in }
    ) {
        self.names = names
        self.idleLimit = idleLimit
        self.load = load
        self.onEvent = onEvent
        state = Mutex(State(residency: residency, slots: names.map { _ in Slot() }))
        (jobs, jobWriter) = AsyncStream.makeStream()
    }

    // MARK: - For users

    /// Loads a model before `run` begins.
    ///
    /// - Throws: what loading throws; `outOfMemory` when it does not fit.
    package func preload(_ index: Int) async throws {
        do {
            try state.withLock { try $0.residency.preload(index) }
        } catch let refusal as ModelResidency.Refusal {
            throw error(for: refusal, index)
        }
        let start = ContinuousClock.now
        let model: Model
        do {
            model = try await load(index)
        } catch {
            failed(index, error)
            throw error
        }
        apply { state in
            state.slots[index].model = model
            return state.residency.loaded(index)
        }
        onEvent(.loaded(index, start.duration(to: .now)))
    }

    /// Waits until a model is loaded and keeps it so until the lease ends. Cancelling the task ends the wait.
    ///
    /// - Throws: `outOfMemory` when it can never fit, `queueFull`, `draining`, why it could not be loaded;
    ///   `CancellationError`.
    package func lease(_ index: Int) async throws -> ModelLease<Model> {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        let model = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { enqueue(index, id, $0) }
        } onCancel: {
            giveUp(id, CancellationError())
        }
        return ModelLease(model: model) { [weak self] in self?.release(index) }
    }

    /// Corrects what an absent model will take, once its file could be read.
    package func setByteCount(_ byteCount: Int, of index: Int) {
        state.withLock { $0.residency.setByteCount(byteCount, of: index) }
    }

    package func snapshot(of index: Int) -> Snapshot {
        state.withLock { state in
            let residency = state.residency
            let slot = state.slots[index]
            return Snapshot(
                phase: residency.phase(of: index), model: residency.phase(of: index) == .ready ? slot.model : nil,
                userCount: residency.userCount(of: index), waiterCount: residency.waiterCount(of: index),
                byteCount: residency.byteCount(of: index), failure: slot.failure)
        }
    }

    /// The models that are loaded and take requests, with their indices.
    package var loadedModels: [(index: Int, model: Model)] {
        state.withLock { state in
            state.slots.indices.compactMap { index in
                guard state.residency.phase(of: index) == .ready else { return nil }
                return state.slots[index].model.map { (index, $0) }
            }
        }
    }

    /// Bytes of all models that are not absent.
    package var reservedByteCount: Int { state.withLock { $0.residency.reservedByteCount } }

    private func enqueue(_ index: Int, _ id: UInt64, _ continuation: CheckedContinuation<Model, any Error>) {
        apply { state in
            do throws(InferenceError) {
                guard !state.isStopping else {
                    throw InferenceError(code: .draining, message: "this shard is shutting down")
                }
                // Checked under the lock: whoever cancels later finds the waiter.
                guard !Task.isCancelled else {
                    throw InferenceError(code: .cancelled, message: "the request was cancelled")
                }
                let slot = state.slots[index]
                if state.residency.phase(of: index) == .absent, let failure = slot.failure,
                    let failedAt = slot.failedAt, failedAt.duration(to: .now) < Self.pause(after: slot.failureCount)
                {
                    throw failure
                }
                let actions: [ModelResidency.Action]
                do throws(ModelResidency.Refusal) {
                    actions = try state.residency.acquire(index, waiter: id)
                } catch {
                    throw self.error(for: error, index)
                }
                state.waiters[id] = continuation
                return actions
            } catch {
                continuation.resume(throwing: error)
                return []
            }
        }
    }

    private func giveUp(_ id: UInt64, _ error: any Error) {
        apply { state in
            state.waiters.removeValue(forKey: id)?.resume(throwing: error)
            return state.residency.cancel(waiter: id)
        }
    }

    private func release(_ index: Int) {
        apply { state in
            state.slots[index].idleSince = .now
            return state.residency.release(index)
        }
    }

    /// Changes the state and starts what follows. Under one lock, so that effects keep the order of decisions; resuming
    /// a continuation and writing to the stream of jobs do not block.
    private func apply(_ change: (inout State) -> [ModelResidency.Action]) {
        state.withLock { state in
            for action in change(&state) {
                switch action {
                case .load(let index): jobWriter.yield(.load(index))
                case .evict(let index): jobWriter.yield(.evict(index))
                case .grant(let waiter, let index):
                    guard let model = state.slots[index].model else {
                        preconditionFailure("model \(index) is not here")
                    }
                    guard let continuation = state.waiters.removeValue(forKey: waiter) else {
                        preconditionFailure("waiter \(waiter) waits no more")
                    }
                    continuation.resume(returning: model)
                }
            }
        }
    }

    private func error(for refusal: ModelResidency.Refusal, _ index: Int) -> InferenceError {
        switch refusal {
        case .tooLarge(let byteCount, let budget):
            InferenceError(
                code: .outOfMemory,
                message:
                    "model \(names[index]) needs \(MemorySize.text(byteCount)); the memory budget of this shard is "
                    + MemorySize.text(budget))
        case .queueFull(let count):
            InferenceError(code: .queueFull, message: "\(count) requests wait for models to be loaded; try again later")
        }
    }

    // MARK: - Loading and evicting

    /// Loads and evicts until graceful shutdown, then stops all models.
    package func run() async throws {
        await withDiscardingTaskGroup { group in
            for (_, model) in loadedModels { group.addTask { await model.run() } }
            if let idleLimit { group.addTask { await self.evictIdle(idleLimit) } }
            await withGracefulShutdownHandler {
                for await job in jobs {
                    switch job {
                    case .load(let index): group.addTask { await self.serve(index) }
                    case .evict(let index): group.addTask { await self.evict(index) }
                    }
                }
            } onGracefulShutdown: {
                self.jobWriter.finish()
            }
            await stop()
            group.cancelAll()
        }
    }

    /// A model's life, from loading to the end of what it does in the background.
    private func serve(_ index: Int) async {
        let start = ContinuousClock.now
        let model: Model
        do {
            model = try await load(index)
        } catch {
            return failed(index, error)
        }
        await withDiscardingTaskGroup { group in
            group.addTask { await model.run() }
            do {
                try await model.waitUntilUsable()
            } catch {
                await model.stop()
                return failed(index, error)
            }
            var isStopping = false
            apply { state in
                isStopping = state.isStopping
                state.slots[index].model = isStopping ? nil : model
                state.slots[index].failure = nil
                state.slots[index].failureCount = 0
                state.slots[index].idleSince = .now
                return state.residency.loaded(index)
            }
            onEvent(.loaded(index, start.duration(to: .now)))
            if isStopping { await model.stop() }
        }
    }

    private func failed(_ index: Int, _ error: any Error) {
        let failure =
            (error as? InferenceError)
            ?? InferenceError(code: .internalError, message: "model \(names[index]) was not loaded", cause: error)
        LoaderThread.returnFreeMemory()
        apply { state in
            state.slots[index].failure = failure
            state.slots[index].failedAt = .now
            state.slots[index].failureCount += 1
            let (waiters, actions) = state.residency.loadFailed(index)
            for waiter in waiters { state.waiters.removeValue(forKey: waiter)?.resume(throwing: failure) }
            return actions
        }
        onEvent(.failed(index, failure))
    }

    private func evict(_ index: Int) async {
        let start = ContinuousClock.now
        // In a function of its own, so that no reference is left when the memory is said to be free.
        await takeModel(index)?.stop()
        LoaderThread.returnFreeMemory()
        onEvent(.evicted(index, start.duration(to: .now)))
        apply { $0.residency.evicted(index) }
    }

    private func takeModel(_ index: Int) -> Model? {
        state.withLock { $0.slots[index].model.take() }
    }

    /// Evicts models that nobody has used for a while.
    private func evictIdle(_ limit: Duration) async {
        while !Task.isCancelled {
            try? await Task.sleep(for: min(limit / 4, .seconds(1)))
            apply { state in
                state.slots.indices.dropFirst().flatMap { index in
                    let isDue = state.slots[index].idleSince.duration(to: .now) >= limit
                    return isDue ? state.residency.evictIfIdle(index) : []
                }
            }
        }
    }

    private func stop() async {
        var models: [Model] = []
        apply { state in
            state.isStopping = true
            for waiter in state.residency.removeAllWaiters() {
                state.waiters.removeValue(forKey: waiter)?.resume(
                    throwing: InferenceError(code: .draining, message: "this shard is shutting down"))
            }
            // Taken away, so that no eviction on its way stops one of them again.
            for index in state.slots.indices {
                if let model = state.slots[index].model.take() { models.append(model) }
            }
            return []
        }
        await withDiscardingTaskGroup { group in
            for model in models { group.addTask { await model.stop() } }
        }
    }
}
