import InferenceCore
import ServiceLifecycle
import Wire
import WireProtocols

/// Serves `fathom.shard.v1.Pipeline` on a stage after the first, for all models of its list.
///
/// A `Join` names its model by digest, and loads it where it is not loaded; the stream of steps that follows keeps it
/// loaded. After that it is idle: it stays for a while, unless another needs its room.
package final class StageHost: Service {
    /// How long a shutting-down stage lets the head finish.
    private static let shutdownGrace = Duration.seconds(5)
    private let stageIndex: Int
    private let catalog: ModelCatalog
    private let pool: ModelPool<StageModel>
    private let roomPatience: Duration

    /// - Parameter roomPatience: how long a join waits for the room that the head has just freed by giving up another
    ///   model.
    package init(
        stageIndex: Int, catalog: ModelCatalog, pool: ModelPool<StageModel>, roomPatience: Duration = .seconds(10)
    ) {
        self.stageIndex = stageIndex
        self.catalog = catalog
        self.pool = pool
        self.roomPatience = roomPatience
    }

    /// Adds the rpcs to a router.
    package func register(in router: inout RPCRouter) {
        router.unary(PipelineService.join) { request, _ in try await self.join(StagePlan(proto: request)) }
        router.raw(PipelineService.run.fullName) { stream in self.open(stream) }
    }

    /// Ends joins that came to nothing. At shutdown: lets the head finish for a while, then ends the streams of steps.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                for (_, model) in self.pool.loadedModels { model.service.expire(now: .now) }
                try? await Task.sleep(for: .seconds(1))
            }
        }
        let deadline = ContinuousClock.now + Self.shutdownGrace
        while ContinuousClock.now < deadline, !Task.isCancelled,
            pool.loadedModels.contains(where: { $0.model.service.isRunning })
        {
            try? await Task.sleep(for: .milliseconds(20))
        }
        for (_, model) in pool.loadedModels { model.service.end() }
    }

    private func join(_ asked: StagePlan) async throws -> Fathom_Shard_V1_JoinResponse {
        do {
            let index = try await index(of: asked)
            let lease = try await lease(index)
            do {
                return try await lease.model.service.join(asked, lease: lease)
            } catch {
                lease.release()
                throw error
            }
        } catch let error as InferenceError {
            throw error.rpcError(contextLimit: 0)
        }
    }

    private func index(of asked: StagePlan) async throws -> Int {
        if let index = catalog.index(digest: asked.modelDigest, name: asked.modelName) { return index }
        // A file that could not be read at the start may be there by now.
        for index in catalog.names.indices where catalog.card(of: index) == nil {
            if let card = try? await catalog.currentCard(of: index) { pool.setByteCount(card.byteCount, of: index) }
        }
        if let index = catalog.index(digest: asked.modelDigest, name: asked.modelName) { return index }
        throw RPCError(
            .failedPrecondition,
            "stage \(stageIndex) has no model of digest \(asked.modelDigest.prefix(80)); it has "
                + catalog.names.indices.map { "\(catalog.names[$0]) (\(catalog.card(of: $0)?.digest ?? "unreadable"))" }
                .joined(separator: ", "))
    }

    /// - Throws: `outOfMemory` when the models in use leave no room for so long.
    private func lease(_ index: Int) async throws -> ModelLease<StageModel> {
        // Loading itself may take as long as the join may.
        let needsRoom = pool.snapshot(of: index).phase != .ready
        return try await withThrowingTaskGroup(of: ModelLease<StageModel>?.self) { tasks in
            tasks.addTask { try await self.pool.lease(index) }
            if needsRoom {
                tasks.addTask {
                    try await Task.sleep(for: self.roomPatience)
                    return nil
                }
            }
            defer { tasks.cancelAll() }
            while let result = try await tasks.next() {
                if let lease = result { return lease }
                guard pool.snapshot(of: index).phase == .absent else { continue }
                throw InferenceError(
                    code: .outOfMemory,
                    message:
                        "stage \(stageIndex) has no room for model \(catalog.names[index]): other models are in use")
            }
            throw CancellationError()
        }
    }

    /// A new stream of steps, on the event loop.
    private func open(_ stream: RawServerStream) -> @Sendable (RawStreamEvent) -> Void {
        let metadata = stream.context.metadata
        let index = catalog.index(
            digest: metadata[MetadataKey.modelDigest] ?? "", name: metadata[MetadataKey.modelName] ?? "")
        guard let index, let model = pool.snapshot(of: index).model else {
            stream.cancel(RPCError(.failedPrecondition, "stage \(stageIndex) must be joined first"))
            return { _ in }
        }
        return model.service.open(stream)
    }
}
