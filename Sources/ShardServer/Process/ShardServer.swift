import Engine
import Foundation
import InferenceCore
import Logging
import ModelFiles
import ServiceLifecycle
import ServiceSupport
import Tokenization
import Transformer
import Wire

/// One shard process: loads its layers and serves them, as the head (stage 0) or as a later stage.
package enum ShardServer {
    /// Default size of the KV cache over all layers of the model.
    private static let kvCacheBudgetBytes = 1 << 30
    /// More than this many tokens are not reserved unless asked for.
    private static let kvCacheBudgetTokens = 32 * 2_048

    /// Loads the model and assembles the process's services, in the order in which they start.
    ///
    /// - Throws: what reading and packing the model throws, in words for the operator.
    package static func services(
        _ configuration: ShardConfiguration, process: ServiceProcess
    ) async throws -> [any Service] {
        let start = ContinuousClock.now
        let file = try GGUFFile(path: configuration.modelPath)
        let identity = try ModelIdentity(path: configuration.modelPath, bytes: file.file.bytes)
        let model = try ModelConfiguration(metadata: file.metadata)
        let layers = try layerRange(configuration, file: file, model: model)
        let stage = try TransformerStage(
            file: file, layers: layers,
            configuration: StageConfiguration(
                threads: configuration.threads,
                kvBlockCount: configuration.kvBlockCount ?? defaultBlockCount(of: model),
                maxBatchedTokens: configuration.maxBatchedTokens))
        process.identity.setAttribute("model", configuration.modelName)
        process.identity.setAttribute("stage.index", "\(configuration.stageIndex)")
        process.identity.setAttribute("stage.count", "\(configuration.stageCount)")
        process.identity.setAttribute("layers", "\(layers.lowerBound)..<\(layers.upperBound)")
        process.logger.info(
            "Model loaded",
            metadata: [
                "model": "\(configuration.modelName)", "layers": "\(layers)", "kv.blocks": "\(stage.kvBlockCount)",
                "weight.bytes": "\(stage.weightByteCount)", "seconds": "\(start.duration(to: .now) / .seconds(1))",
            ])
        let plan = StagePlan(
            stage: stage, modelDigest: identity.digest, stageIndex: configuration.stageIndex,
            stageCount: configuration.stageCount)
        let group = ReplicaGroup(
            stageIndex: configuration.stageIndex, layers: layers, weightByteCount: stage.weightByteCount,
            address: { process.identity.address })
        guard configuration.stageIndex == 0 else {
            return laterStage(stage, plan: plan, group: group, configuration, process)
        }
        let served = try ServedModel(name: configuration.modelName, file: file, identity: identity)
        return head(stage, plan: plan, group: group, model: served, configuration, process)
    }

    /// The services of stage 0.
    package static func head(
        _ stage: sending any ModelStage, plan: StagePlan, group: ReplicaGroup, model: ServedModel,
        _ configuration: ShardConfiguration, _ process: ServiceProcess
    ) -> [any Service] {
        let metrics = ShardMetrics(process.metrics)
        let link = configuration.next.map { target in
            WirePipelineLink(
                client: process.makeWireClient(target), plan: plan.next(layerEnd: stage.layerRange.upperBound),
                group: group, logger: process.logging.logger("shard.link"))
        }
        let tokenizer = model.tokenizer
        let engine = InferenceEngine(
            stage: stage, link: link,
            configuration: EngineConfiguration(
                maxBatchedTokens: configuration.maxBatchedTokens,
                maxRunningSequences: configuration.maxRunningSequences,
                maxWaitingSequences: configuration.maxWaitingSequences, stageCount: configuration.stageCount,
                endOfGenerationTokenIDs: tokenizer.endOfGenerationTokenIDs, stepTimeout: configuration.stepTimeout,
                heartbeatTokenID: tokenizer.bosTokenID ?? 0),
            onStep: metrics.record(headStep:))
        ShardMetrics.register(engine, in: process.metrics)
        var router = RPCRouter()
        GenerationService(engine: engine, model: model, group: group).register(in: &router)
        let server = process.makeWireServer(router)
        // Stopped in reverse: the server drains first, then the engine, then the link.
        return (link.map { [$0] } ?? []) + [
            EngineService(engine: engine), server, process.listening(server),
            LivenessService(engine: engine, health: process.health),
        ]
    }

    /// The services of a stage after the first.
    package static func laterStage(
        _ stage: sending any ModelStage, plan: StagePlan, group: ReplicaGroup, _ configuration: ShardConfiguration,
        _ process: ServiceProcess
    ) -> [any Service] {
        let metrics = ShardMetrics(process.metrics)
        let service = StageService(
            stage: stage, plan: plan, next: configuration.next.map(process.makeWireClient), group: group,
            logger: process.logging.logger("shard.stage"), onStep: metrics.record(stageStep:))
        var router = RPCRouter()
        service.register(in: &router)
        let server = process.makeWireServer(router)
        // Stopped in reverse: the stage ends its streams before the server drains.
        return [server, service, process.listening(server), StageReadiness(health: process.health)]
    }

    // MARK: - Sizes

    private static func layerRange(
        _ configuration: ShardConfiguration, file: GGUFFile, model: ModelConfiguration
    ) throws -> Range<Int> {
        if let layers = configuration.layers {
            let isFirst = configuration.stageIndex == 0
            let isLast = configuration.stageIndex == configuration.stageCount - 1
            guard layers.upperBound <= model.layerCount, isFirst == (layers.lowerBound == 0),
                isLast == (layers.upperBound == model.layerCount)
            else {
                throw ConfigurationError(
                    .invalidValue,
                    "--layers \(layers) does not fit stage \(configuration.stageIndex) of \(configuration.stageCount) "
                        + "of a model with layers 0..<\(model.layerCount)")
            }
            return layers
        }
        return try ModelConfiguration.partition(file: file, stages: configuration.stageCount)[configuration.stageIndex]
    }

    /// KV cache blocks within the budget; the same on every stage, because it counts all layers of the model.
    private static func defaultBlockCount(of model: ModelConfiguration) -> Int {
        let bytesPerToken = 4 * model.layerCount * model.keyValueHeadCount * model.headWidth
        let tokens = min(kvCacheBudgetTokens, kvCacheBudgetBytes / bytesPerToken)
        return max(1, tokens / TransformerStage.kvBlockSize)
    }
}
