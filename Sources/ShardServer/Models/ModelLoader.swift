import ChatTemplate
import Foundation
import InferenceCore
import Kernels
import ModelFiles
import ServiceSupport
import Tensors
import Tokenization
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
            try StageFootprint(
                weights, layers: layers, configuration: stageConfiguration(of: model, kvBlockCount: blocks)
            ).byteCount
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
        try configuration.verification.check(weights.source)
        let stage = try TransformerStage(
            weights, layers: card.layers,
            configuration: stageConfiguration(of: weights.model, kvBlockCount: card.kvBlockCount))
        return (weights, stage)
    }

    private func stageConfiguration(of model: ModelConfiguration, kvBlockCount: Int) -> StageConfiguration {
        StageConfiguration(
            threads: configuration.threads, kvBlockCount: kvBlockCount,
            maxBatchedTokens: maxBatchedTokens(of: model, kvBlockCount: kvBlockCount), kvType: configuration.kvType)
    }

    /// The most tokens of a step: what was asked for, but no more than there can be. Each takes a position of the KV
    /// cache, and between two stages the hidden states of all of them are one frame.
    private func maxBatchedTokens(of model: ModelConfiguration, kvBlockCount: Int) -> Int {
        var tokens = min(configuration.maxBatchedTokens, kvBlockCount * TransformerStage.kvBlockSize)
        if configuration.stageCount > 1 {
            tokens = min(
                tokens, WirePipelineLink.maxHiddenByteCount / max(1, model.modelWidth * MemoryLayout<Float>.stride))
        }
        return max(1, tokens)
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
    /// Why a model cannot be loaded, with the reason, in words for whoever asked for it: without the paths of this machine,
    /// which are for the log (`cause`).
    ///
    /// - Parameter path: of the model, a file or a folder.
    package init(loading name: String, path: String, _ error: any Error) {
        switch error {
        case let error as InferenceError:
            switch error.code {
            case .unsupportedModel, .dataLoss:
                self.init(name, error.code, error.message, path: path, cause: error)
            case .invalidRequest: self.init(name, .dataLoss, error.message, path: path, cause: error)
            default: self = error
            }
        case let error as KernelError where error.code == .resourceExhausted:
            self.init(
                code: .outOfMemory, message: "model \(name) cannot be loaded: the system has no memory for it",
                cause: error)
        case is ModelFileChanged:
            self.init(
                code: .notReady, message: "model \(name): its file has changed and will be read anew", cause: error)
        case let error as ModelFileError: self.init(name, .dataLoss, error.message, path: path, cause: error)
        case let error as TokenizationError: self.init(name, .dataLoss, error.message, path: path, cause: error)
        case let error as ChatTemplateError: self.init(name, .dataLoss, error.description, path: path, cause: error)
        case let error as KernelError: self.init(name, .dataLoss, error.message, path: path, cause: error)
        case let error as TensorError: self.init(name, .dataLoss, error.message, path: path, cause: error)
        case let error as ConfigurationError: self.init(name, .dataLoss, error.message, path: path, cause: error)
        default: self.init(code: .dataLoss, message: "model \(name) is unusable", cause: error)
        }
    }

    private init(_ name: String, _ code: Code, _ reason: String, path: String, cause: any Error) {
        self.init(
            code: code, message: "model \(name) is unusable: \(reason.withoutFolders(of: path).prefix(500).printable)",
            cause: cause)
    }
}

extension String {
    /// The text with file names in place of paths.
    fileprivate func withoutFolders(of path: String) -> String {
        let url = URL(fileURLWithPath: path).standardizedFileURL
        let folder = url.deletingLastPathComponent().path
        return replacingOccurrences(of: path, with: url.lastPathComponent)
            .replacingOccurrences(of: folder + "/", with: "")
            // Links may have led elsewhere.
            .replacing(#/(^|[\s'"(])\/(?:[^\s\/:'"]+\/)+/#) { $0.output.1 }
    }
}
