import InferenceCore
import Kernels
import ModelFiles
import Tensors

/// A contiguous layer range of a decoder model on this machine's processor: weights repacked for the kernels, a paged KV
/// cache and the forward pass over it.
///
/// The result for a token depends on its sequence only: never on the batch, the chunking of the prefill, the thread
/// count or the cut into stages, because every reduction has one fixed order.
package final class TransformerStage: ModelStage {
    package let model: ModelConfiguration
    package let layerRange: Range<Int>
    package let kvBlockCount: Int
    package let maxBatchedTokens: Int
    package let weightByteCount: Int

    let pool: ThreadPool
    let head: OutputHead?
    let scratch: StageScratch
    let kernels = KernelSet.active
    /// Logits of up to `logitRows` rows, [logitRows, V]; empty where this is not the last stage.
    let logits: AlignedBuffer<Float>
    static let logitRows = 16

    private let embedding: EmbeddingTable?
    private let layers: [TransformerLayer]
    private let resources: StageResources
    private let latentScratch: LatentScratch?
    private let expertScratch: ExpertScratch?

    package var modelWidth: Int { model.modelWidth }
    package var vocabularySize: Int { model.vocabularySize }
    package var layerCount: Int { model.layerCount }
    package var isFirst: Bool { layerRange.lowerBound == 0 }
    package var isLast: Bool { layerRange.upperBound == model.layerCount }
    package var maxContextTokens: Int { model.maxContextTokens }
    /// Positions per block of the KV cache.
    package static var kvBlockSize: Int { KeyValueCache.blockSize }
    package var kvBlockSize: Int { Self.kvBlockSize }
    package var kvType: String { resources.cache.type.rawValue }
    /// Bytes the KV cache takes.
    package var kvCacheByteCount: Int { resources.cache.byteCount }

    /// Loads a layer range; only its own tensors are read.
    ///
    /// - Parameter layers: nil loads the whole model.
    /// - Throws: `ModelFileError` for what the file lacks, ``InferenceError`` `unsupportedModel` for what the engine does
    ///   not compute and `invalidRequest` for an impossible configuration, `KernelError` when memory or threads are refused.
    package init(_ weights: ModelWeights, layers requested: Range<Int>? = nil, configuration: StageConfiguration) throws
    {
        let model = weights.model
        self.model = model
        layerRange = requested ?? 0..<model.layerCount
        guard !layerRange.isEmpty, layerRange.lowerBound >= 0, layerRange.upperBound <= model.layerCount else {
            throw InferenceError(
                code: .invalidRequest, message: "layers \(layerRange) of a model with \(model.layerCount) layers")
        }
        guard configuration.kvBlockCount > 0, configuration.maxBatchedTokens > 0 else {
            throw InferenceError(
                code: .invalidRequest,
                message: "\(configuration.kvBlockCount) KV cache blocks and \(configuration.maxBatchedTokens) tokens a "
                    + "step (expected: at least 1 of each)")
        }
        kvBlockCount = configuration.kvBlockCount
        maxBatchedTokens = configuration.maxBatchedTokens

        let pool = try ThreadPool(threadCount: configuration.threads)
        self.pool = pool
        let resources = try StageResources(weights, layers: layerRange, configuration: configuration)
        self.resources = resources
        let loader = LayerLoader(weights: weights, exact: configuration.exact, pool: pool)
        layers = try layerRange.map { try loader.layer($0, resources) }
        let isLast = layerRange.upperBound == model.layerCount
        head = isLast ? try OutputHead(loader) : nil
        embedding =
            layerRange.lowerBound == 0
            ? try EmbeddingTable(
                weights.tensor(TensorName.tokenEmbedding, shape: [model.vocabularySize, model.modelWidth])) : nil
        var needs = StageNeeds()
        for layer in layers { layer.addNeeds(to: &needs) }
        if let head { needs.model.formUnion(head.projection.needs) }
        let tokens = max(maxBatchedTokens, Self.logitRows)
        scratch = try StageScratch(model: model, needs: needs, tokens: tokens, threads: pool.threadCount)
        latentScratch = try LatentScratch(layers, model: model, tokens: maxBatchedTokens, threads: pool.threadCount)
        expertScratch = try ExpertScratch(layers, model: model, tokens: maxBatchedTokens, threads: pool.threadCount)
        logits = try AlignedBuffer(count: isLast ? Self.logitRows * model.vocabularySize : 0)
        weightByteCount = layers.reduce(0) { $0 + $1.byteCount } + (head?.projection.byteCount ?? 0)
        // What was repacked is not read again; the embedding rows come back page by page as they are looked up.
        weights.source.adviseDontNeed()
    }

    package func forward(_ batch: StepBatch, hidden: UnsafeMutableBufferPointer<Float>) throws {
        let layout = try BatchLayout(
            batch, model: model, windows: resources.windows, kvBlockCount: kvBlockCount, maxTokens: maxBatchedTokens,
            threads: pool.threadCount)
        let tokens = layout.tokenIDs.count
        guard tokens > 0 else { return }
        guard let states = hidden.baseAddress, hidden.count >= tokens * model.modelWidth else {
            throw InferenceError(
                code: .internalError,
                message: "\(hidden.count) hidden values for \(tokens) tokens of width \(model.modelWidth)")
        }
        try embed(layout, into: states)
        for table in resources.rotary {
            for (token, slot) in layout.slots.enumerated() { table.fill(token: token, position: slot.position) }
        }
        layout.blockTables.withUnsafeBufferPointer { blockTables in
            guard let blockTables = blockTables.baseAddress else { return }
            pool.run { thread in
                let step = StageStep(
                    pool: pool, kernels: kernels, scratch: scratch, layout: layout, blockTables: blockTables,
                    hidden: states, tokens: tokens, thread: thread, modelWidth: model.modelWidth,
                    normEpsilon: model.normEpsilon)
                for layer in layers { run(layer, step) }
            }
        }
    }

    private func embed(_ layout: BatchLayout, into states: UnsafeMutablePointer<Float>) throws {
        guard let embedding else { return }
        for (token, id) in layout.tokenIDs.enumerated() {
            let row = states + token * model.modelWidth
            try embedding.copyRow(Int(id), into: row)
            if model.embeddingScale != 1 { for index in 0..<model.modelWidth { row[index] *= model.embeddingScale } }
        }
    }

    /// Inside the pool region.
    private func run(_ layer: TransformerLayer, _ step: StageStep) {
        switch layer.attention {
        case .grouped(let block): block.run(step)
        case .latent(let block): if let latentScratch { block.run(step, latentScratch) }
        }
        switch layer.feedForward {
        case .dense(let block): block.run(step)
        case .experts(let block): if let expertScratch { block.run(step, expertScratch) }
        }
    }
}
