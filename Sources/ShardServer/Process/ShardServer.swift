import Engine
import InferenceCore
import Logging
import ModelFiles
import ServiceLifecycle
import ServiceSupport
import Tokenization
import Transformer
import Wire

/// One shard process: loads its layers of one or more models and serves them, as the head (stage 0) or as a later stage.
package enum ShardServer {
    /// A later stage keeps a model that the head has given up for this long, unless another needs its room.
    private static let idleLimit = Duration.seconds(30)

    /// Loads the first model and assembles the process's services, in the order in which they start.
    ///
    /// - Throws: what reading and packing the model throws, in words for the operator.
    package static func services(
        _ configuration: ShardConfiguration, process: ServiceProcess
    ) async throws -> [any Service] {
        let loader = ModelLoader(configuration)
        let names = configuration.models.map(\.name)
        let catalog = ModelCatalog(names: names) { index in
            let specification = configuration.models[index]
            do {
                return try loader.card(of: specification)
            } catch {
                throw InferenceError(loading: specification.name, path: specification.path, error)
            }
        }
        try await LoaderThread.run { readHeaders(catalog, logger: process.logger) }
        process.identity.setAttribute("model", names.joined(separator: ", "))
        process.identity.setAttribute("stage.index", "\(configuration.stageIndex)")
        process.identity.setAttribute("stage.count", "\(configuration.stageCount)")
        if let layers = catalog.card(of: 0)?.layers {
            process.identity.setAttribute("layers", "\(layers.lowerBound)..<\(layers.upperBound)")
        }
        do {
            if configuration.stageIndex == 0 {
                return try await head(configuration, catalog, loader, process)
            }
            return try await laterStage(configuration, catalog, loader, process)
        } catch let error as InferenceError {
            // The cause names the file.
            throw error.cause ?? error
        }
    }

    /// Reads what the files say of their models. One that cannot be read must not keep the others from being served.
    private static func readHeaders(_ catalog: ModelCatalog, logger: Logger) {
        for index in catalog.names.indices {
            do {
                try catalog.load(index)
            } catch {
                let cause = (error as? InferenceError)?.cause ?? error
                logger.error(
                    "Model file cannot be used", metadata: ["model": "\(catalog.names[index])", "error": "\(cause)"])
            }
        }
    }

    /// The services of stage 0.
    private static func head(
        _ configuration: ShardConfiguration, _ catalog: ModelCatalog, _ loader: ModelLoader, _ process: ServiceProcess
    ) async throws -> [any Service] {
        let metrics = ShardMetrics(process.metrics)
        let engineMetrics = EngineMetrics(models: catalog.names)
        let pool = makePool(configuration, catalog, process) { (card, index) -> HeadModel in
            try makeHeadModel(card, loader, configuration, process, metrics) { engineMetrics.retire($0, of: index) }
        }
        engineMetrics.register(in: process.metrics) { pool.snapshot(of: $0).model?.engine.status }
        try await preload(pool, configuration)
        var router = RPCRouter()
        GenerationService(catalog: catalog, pool: pool, memoryBudget: configuration.memoryBudget).register(in: &router)
        let server = process.makeWireServer(router)
        // Stopped in reverse: the server drains first, then the engines and their links.
        return [pool, server, process.listening(server), LivenessService(pool: pool, health: process.health)]
    }

    private static func makeHeadModel(
        _ card: ModelCard, _ loader: ModelLoader, _ configuration: ShardConfiguration, _ process: ServiceProcess,
        _ metrics: ShardMetrics, onStopped: @escaping @Sendable (EngineStatus) -> Void
    ) throws -> HeadModel {
        let (weights, stage) = try loader.stage(of: card)
        let served = try ServedModel(
            name: card.name, weights: weights, identity: ModelIdentity(digest: card.digest))
        let plan = StagePlan(
            stage: stage, modelDigest: card.digest, modelName: card.name, stageIndex: 0,
            stageCount: configuration.stageCount)
        let group = makeGroup(stage, configuration, process)
        let link = configuration.next.map { target in
            WirePipelineLink(
                client: process.makeWireClient(target), plan: plan.next(layerEnd: stage.layerRange.upperBound),
                group: group, logger: process.logging.logger("shard.link"))
        }
        let engine = InferenceEngine(
            stage: stage, link: link,
            configuration: EngineConfiguration(
                maxBatchedTokens: configuration.maxBatchedTokens,
                maxRunningSequences: configuration.maxRunningSequences,
                maxWaitingSequences: configuration.maxWaitingSequences, stageCount: configuration.stageCount,
                endOfGenerationTokenIDs: served.tokenizer.endOfGenerationTokenIDs,
                stepTimeout: configuration.stepTimeout, relinkTimeout: configuration.relinkTimeout,
                heartbeatTokenID: served.tokenizer.bosTokenID ?? 0,
                reusesPrefixes: configuration.reusesPrefixes, maxDraftTokens: configuration.maxDraftTokens,
                prefillShare: configuration.prefillShare),
            onStep: metrics.record(headStep:))
        return HeadModel(served: served, engine: engine, group: group, link: link, onStopped: onStopped)
    }

    /// The services of a stage after the first.
    private static func laterStage(
        _ configuration: ShardConfiguration, _ catalog: ModelCatalog, _ loader: ModelLoader, _ process: ServiceProcess
    ) async throws -> [any Service] {
        let metrics = ShardMetrics(process.metrics)
        let pool = makePool(configuration, catalog, process, idleLimit: idleLimit) { (card, _) -> StageModel in
            let (_, stage) = try loader.stage(of: card)
            let plan = StagePlan(
                stage: stage, modelDigest: card.digest, modelName: card.name, stageIndex: configuration.stageIndex,
                stageCount: configuration.stageCount)
            let group = makeGroup(stage, configuration, process)
            return StageModel(
                service: StageService(
                    stage: stage, plan: plan, next: configuration.next.map(process.makeWireClient), group: group,
                    logger: process.logging.logger("shard.stage"), onStep: metrics.record(stageStep:)))
        }
        try await preload(pool, configuration)
        let host = StageHost(stageIndex: configuration.stageIndex, catalog: catalog, pool: pool)
        var router = RPCRouter()
        host.register(in: &router)
        let server = process.makeWireServer(router)
        // Stopped in reverse: the streams end before the server drains, and then the models go.
        return [pool, server, host, process.listening(server), StageReadiness(health: process.health)]
    }

    // MARK: - Both

    /// Loads the first model. Where it is the only one and cannot be loaded, there is nothing to serve; else the others
    /// must not suffer for it. Whether it is one or the other has been logged.
    private static func preload<Model>(_ pool: ModelPool<Model>, _ configuration: ShardConfiguration) async throws {
        do {
            try await pool.preload(0)
        } catch  where configuration.models.count > 1 && !(error is CancellationError) {}
    }

    private static func makeGroup(
        _ stage: TransformerStage, _ configuration: ShardConfiguration, _ process: ServiceProcess
    ) -> ReplicaGroup {
        ReplicaGroup(
            stageIndex: configuration.stageIndex, layers: stage.layerRange, weightByteCount: stage.weightByteCount,
            address: { process.identity.address })
    }

    /// - Parameter make: reads a model; called on a thread of its own.
    private static func makePool<Model: HostedModel>(
        _ configuration: ShardConfiguration, _ catalog: ModelCatalog, _ process: ServiceProcess,
        idleLimit: Duration? = nil, make: @escaping @Sendable (ModelCard, Int) throws -> Model
    ) -> ModelPool<Model> {
        let metrics = PoolMetrics(process.metrics, models: catalog.names)
        let logger = process.logger
        let residency = ModelResidency(
            byteCounts: catalog.names.indices.map { catalog.card(of: $0)?.byteCount ?? 0 },
            budget: configuration.memoryBudget, maxWaiterCount: configuration.maxWaitingSequences)
        let pool = ModelPool(names: catalog.names, residency: residency, idleLimit: idleLimit) { index -> Model in
            let card = try await catalog.currentCard(of: index)
            do {
                return try await LoaderThread.run { try make(card, index) }
            } catch {
                if error is ModelFileChanged { catalog.forget(index) }
                throw InferenceError(loading: card.name, path: card.path, error)
            }
        } onEvent: { event in
            metrics.record(event)
            log(event, catalog, logger)
        }
        metrics.observe(pool, budget: configuration.memoryBudget, in: process.metrics)
        return pool
    }

    private static func log<Model>(_ event: ModelPool<Model>.Event, _ catalog: ModelCatalog, _ logger: Logger) {
        switch event {
        case .loaded(let index, let duration):
            let card = catalog.card(of: index)
            logger.info(
                "Model loaded",
                metadata: [
                    "model": "\(catalog.names[index])", "layers": "\(card?.layers ?? 0..<0)",
                    "kv.blocks": "\(card?.kvBlockCount ?? 0)", "bytes": "\(card?.byteCount ?? 0)",
                    "seconds": "\(duration / .seconds(1))",
                ])
        case .failed(let index, let error):
            logger.error(
                "Model cannot be loaded",
                metadata: ["model": "\(catalog.names[index])", "error": "\(error.cause ?? error)"])
        case .evicted(let index, let duration):
            logger.info(
                "Model evicted",
                metadata: ["model": "\(catalog.names[index])", "seconds": "\(duration / .seconds(1))"])
        }
    }
}
