import Foundation
import InferenceCore
import Kernels
import ModelFiles
import ServiceSupport
import Transformer

/// Reads model files as one process's configuration says. Blocks for as long as that takes: see ``LoaderThread``.
package struct ModelLoader: Sendable {
    /// Default size of the KV cache over all layers of a model.
    private static let kvCacheBudgetBytes = 1 << 30
    /// More than this many tokens are not reserved unless asked for.
    private static let kvCacheBudgetTokens = 32 * 2_048

    private let configuration: ShardConfiguration

    package init(_ configuration: ShardConfiguration) {
        self.configuration = configuration
    }

    /// What the header of a file says.
    ///
    /// - Throws: `ModelFileError`, `InferenceError`, `ConfigurationError`.
    package func card(of specification: ModelSpecification) throws -> ModelCard {
        let weights = try ModelWeights(path: specification.path)
        let model = weights.model
        let blocks = configuration.kvBlockCount ?? defaultBlockCount(of: model)
        let ranges = try layerRanges(weights)
        let byteCounts = try ranges.map { layers in
            try StageFootprint(weights, layers: layers, configuration: stageConfiguration(kvBlockCount: blocks))
                .byteCount
        }
        return ModelCard(
            name: specification.name, path: specification.path,
            digest: try ModelIdentity(weights.source).digest,
            architecture: model.architecture,
            maxContextTokens: min(model.maxContextTokens, blocks * TransformerStage.kvBlockSize),
            vocabularySize: model.vocabularySize,
            layers: configuration.layers ?? ranges[configuration.stageIndex], kvBlockCount: blocks,
            byteCount: byteCounts.max() ?? 0, created: UInt64(Date().timeIntervalSince1970))
    }

    /// Reads this process's layers of a model.
    ///
    /// - Throws: as ``card(of:)``; `KernelError`; `dataLoss` when the file is no longer the one that the card is of.
    package func stage(of card: ModelCard) throws -> (weights: ModelWeights, stage: TransformerStage) {
        let weights = try ModelWeights(path: card.path)
        guard try ModelIdentity(weights.source).digest == card.digest else { throw ModelFileChanged() }
        let stage = try TransformerStage(
            weights, layers: card.layers, configuration: stageConfiguration(kvBlockCount: card.kvBlockCount))
        return (weights, stage)
    }

    private func stageConfiguration(kvBlockCount: Int) -> StageConfiguration {
        StageConfiguration(
            threads: configuration.threads, kvBlockCount: kvBlockCount,
            maxBatchedTokens: configuration.maxBatchedTokens, kvType: configuration.kvType)
    }

    /// The layers of all stages; only of this one where the configuration names them.
    private func layerRanges(_ weights: ModelWeights) throws -> [Range<Int>] {
        guard let layers = configuration.layers else {
            return try ModelConfiguration.partition(weights, stages: configuration.stageCount)
        }
        let model = weights.model
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
        return [layers]
    }

    /// KV cache blocks within the budget; the same on every stage, because it counts all layers of the model.
    private func defaultBlockCount(of model: ModelConfiguration) -> Int {
        let bytesPerBlock = StageFootprint.kvByteCountPerBlock(
            of: model, layers: model.layerCount, type: configuration.kvType)
        let tokens = min(
            Self.kvCacheBudgetTokens, Self.kvCacheBudgetBytes / bytesPerBlock * TransformerStage.kvBlockSize)
        return max(1, tokens / TransformerStage.kvBlockSize)
    }
}

/// A model's file was replaced since its header was read.
struct ModelFileChanged: Error {}

extension InferenceError {
    /// Why a model cannot be loaded, in words for whoever asked for it: without paths, which are for the log (`cause`).
    init(loading name: String, _ error: any Error) {
        switch error {
        case let error as InferenceError where error.code == .unsupportedModel:
            self.init(code: .unsupportedModel, message: "model \(name): \(error.message)", cause: error)
        case let error as InferenceError where error.code == .dataLoss || error.code == .invalidRequest:
            self.init(
                code: .dataLoss, message: "model \(name) cannot be loaded: its file does not fit", cause: error)
        case let error as InferenceError:
            self = error
        case let error as ModelFileError:
            self.init(
                code: .dataLoss, message: "model \(name) cannot be loaded: its file is unusable (\(error.code))",
                cause: error)
        case let error as KernelError where error.code == .resourceExhausted:
            self.init(
                code: .outOfMemory, message: "model \(name) cannot be loaded: the system has no memory for it",
                cause: error)
        case is ModelFileChanged:
            self.init(
                code: .notReady, message: "model \(name): its file has changed and will be read anew", cause: error)
        default:
            self.init(code: .dataLoss, message: "model \(name) cannot be loaded", cause: error)
        }
    }
}
