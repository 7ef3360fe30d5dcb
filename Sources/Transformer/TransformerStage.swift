import InferenceCore
import Kernels
import ModelFiles
import Tensors

/// A contiguous layer range of a llama-architecture model on this machine's processor: weights repacked for the
/// kernels, a paged KV cache and the forward pass over it.
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
    private let layers: [LayerWeights]
    private let cache: KeyValueCache
    private let rotary: RotaryTable

    package var modelWidth: Int { model.modelWidth }
    package var vocabularySize: Int { model.vocabularySize }
    package var layerCount: Int { model.layerCount }
    package var isFirst: Bool { layerRange.lowerBound == 0 }
    package var isLast: Bool { layerRange.upperBound == model.layerCount }
    package var maxContextTokens: Int { model.maxContextTokens }
    /// Positions per block of the KV cache.
    package static var kvBlockSize: Int { KeyValueCache.blockSize }
    package var kvBlockSize: Int { Self.kvBlockSize }
    package var kvType: String { cache.type.rawValue }
    /// Bytes the KV cache takes.
    package var kvCacheByteCount: Int { cache.bytesPerBlock * cache.blockCount }

    /// Loads a layer range; only its own tensors are read from the file.
    ///
    /// - Parameter layers: nil loads the whole model.
    /// - Throws: `ModelFileError` for what the file lacks, ``InferenceError`` `unsupportedModel` for what the engine does
    ///   not compute and `invalidRequest` for an impossible configuration, `KernelError` when memory or threads are refused.
    package init(file: GGUFFile, layers requested: Range<Int>? = nil, configuration: StageConfiguration) throws {
        model = try ModelConfiguration(metadata: file.metadata)
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
        try LayerWeights.checkParts(of: file)

        let pool = try ThreadPool(threadCount: configuration.threads)
        let model = model
        self.pool = pool
        layers = try layerRange.map { try LayerWeights(file: file, index: $0, model: model, pool: pool) }
        let isLast = layerRange.upperBound == model.layerCount
        head = isLast ? try OutputHead(file: file, model: model, pool: pool) : nil
        embedding =
            layerRange.lowerBound == 0
            ? try EmbeddingTable(
                file.tensor(TensorName.tokenEmbedding).expectingShape([model.vocabularySize, model.modelWidth])) : nil
        cache = try KeyValueCache(
            layerCount: layerRange.count, blockCount: kvBlockCount, kvHeads: model.keyValueHeadCount,
            headWidth: model.headWidth, type: configuration.kvType)
        let factors = try file.tensors[TensorName.ropeFrequencyFactors].map { view in
            let values = try view.expectingShape([model.ropeWidth / 2]).loadedVector()
            return Array(values.buffer)
        }
        rotary = try RotaryTable(model: model, factors: factors, capacity: maxBatchedTokens)
        scratch = try StageScratch(
            model: model, layers: layers, head: head, tokens: max(maxBatchedTokens, Self.logitRows),
            threads: pool.threadCount)
        logits = try AlignedBuffer(count: isLast ? Self.logitRows * model.vocabularySize : 0)
        weightByteCount = layers.reduce(0) { $0 + $1.byteCount } + (head?.projection.byteCount ?? 0)
        // What was repacked is not read again; the embedding rows come back page by page as they are looked up.
        file.file.adviseDontNeed(file.file.bytes)
    }

    package func forward(_ batch: StepBatch, hidden: UnsafeMutableBufferPointer<Float>) throws {
        let layout = try BatchLayout(
            batch, model: model, kvBlockCount: kvBlockCount, maxTokens: maxBatchedTokens, threads: pool.threadCount)
        let tokens = layout.tokenIDs.count
        guard tokens > 0 else { return }
        guard let states = hidden.baseAddress, hidden.count >= tokens * model.modelWidth else {
            throw InferenceError(
                code: .internalError,
                message: "\(hidden.count) hidden values for \(tokens) tokens of width \(model.modelWidth)")
        }
        if let embedding {
            for (token, id) in layout.tokenIDs.enumerated() {
                try embedding.copyRow(Int(id), into: states + token * model.modelWidth)
            }
        }
        for (token, slot) in layout.slots.enumerated() { rotary.fill(token: token, position: slot.position) }
        layout.blockTables.withUnsafeBufferPointer { blockTables in
            pool.run { thread in
                for index in layers.indices {
                    attend(layer: index, layout: layout, blockTables: blockTables, hidden: states, thread: thread)
                    feedForward(layer: index, tokens: tokens, hidden: states, thread: thread)
                }
            }
        }
    }

    /// Inside the pool region: hidden += Wo · attention(norm(hidden)).
    private func attend(
        layer index: Int, layout: BatchLayout, blockTables: UnsafeBufferPointer<Int32>,
        hidden: UnsafeMutablePointer<Float>, thread: Int
    ) {
        let layer = layers[index]
        let tokens = layout.tokenIDs.count
        let headWidth = model.headWidth
        let queryWidth = model.headCount * headWidth
        let keyValueWidth = model.keyValueHeadCount * headWidth
        let stride = queryWidth + 2 * keyValueWidth
        let projected = scratch.queryKeyValue.pointer

        let input = normalized(hidden, weight: layer.attentionNorm, tokens: tokens, thread: thread)
        pool.forEachChunk(of: layer.queryKeyValue.panelCount, chunk: 2) { panels in
            layer.queryKeyValue.multiply(
                input, tokens: 0..<tokens, panels: panels, into: projected, outputStride: stride)
        }
        pool.barrier()

        pool.forEachChunk(of: tokens, chunk: 8) { chunk in
            for token in chunk {
                let row = projected + token * stride
                let cosine = UnsafePointer(rotary.cosine.pointer + token * rotary.pairCount)
                let sine = UnsafePointer(rotary.sine.pointer + token * rotary.pairCount)
                // Queries and keys lie next to each other, so one call rotates both.
                kernels.rope(
                    row, heads: model.headCount + model.keyValueHeadCount, headWidth: headWidth,
                    rotary: model.ropeWidth, cosine: cosine, sine: sine, interleaved: true)
                let slot = layout.slots[token]
                cache.write(
                    layer: index, block: slot.block, offset: slot.offset, key: row + queryWidth,
                    value: row + queryWidth + keyValueWidth)
            }
        }
        pool.barrier()

        let attended = scratch.attention.pointer
        let scale = 1 / Float(headWidth).squareRoot()
        let group = model.headCount / model.keyValueHeadCount
        let partialWidth = KeyValueCache.partialWidth(headWidth: headWidth)
        pool.forEachChunk(of: layout.attention.count, chunk: 1) { chunk in
            for item in layout.attention[chunk] {
                let span = layout.spans[item.sequence]
                guard let tables = blockTables.baseAddress else { continue }
                let query = projected + span.firstToken * stride
                let blockTable = tables + span.blockTableStart
                if let partitions = item.partitions, let start = span.partialsStart {
                    for partition in partitions {
                        // Tokens before the partition do not see it.
                        let unseen = max(0, partition * KeyValueCache.partitionSize - span.startPosition)
                        let rows = unseen * group..<item.rows.upperBound
                        let place = (item.kvHead * span.partitions + partition) * item.rows.count + rows.lowerBound
                        cache.attendPart(
                            layer: index, kvHead: item.kvHead, group: group, rows: rows, partition: partition,
                            query: query, queryStride: stride,
                            partials: scratch.partials.pointer + start + place * partialWidth,
                            blockTable: blockTable, blockTableCount: span.blockTableCount,
                            firstPosition: span.startPosition, scale: scale)
                    }
                } else {
                    cache.attend(
                        layer: index, kvHead: item.kvHead, group: group, rows: item.rows, query: query,
                        queryStride: stride, output: attended + span.firstToken * queryWidth,
                        outputStride: queryWidth, blockTable: blockTable, blockTableCount: span.blockTableCount,
                        firstPosition: span.startPosition, scale: scale)
                }
            }
        }
        pool.barrier()

        let values = scratch.attended.prepare(tokens: tokens, thread: thread, pool: pool) { token, row in
            guard mergePartials(token: token, layout: layout, into: row) else {
                return UnsafePointer(attended + token * queryWidth)
            }
            return UnsafePointer(row)
        }
        accumulate(layer.attentionOutput, values, tokens: tokens, into: hidden)
    }

    /// Puts a token's attention result together when threads divided the positions; false when they did not.
    private func mergePartials(token: Int, layout: BatchLayout, into row: UnsafeMutablePointer<Float>) -> Bool {
        let slot = layout.slots[token]
        let span = layout.spans[slot.span]
        guard let start = span.partialsStart else { return false }
        let group = model.headCount / model.keyValueHeadCount
        let width = KeyValueCache.partialWidth(headWidth: model.headWidth)
        let rows = span.tokenCount * group
        for head in 0..<model.headCount {
            let first = head / group * span.partitions * rows + (token - span.firstToken) * group + head % group
            cache.merge(
                partials: scratch.partials.pointer + start + first * width,
                partitions: slot.position / KeyValueCache.partitionSize + 1, stride: rows * width,
                into: row + head * model.headWidth)
        }
        return true
    }

    /// Inside the pool region: hidden += Wdown · (silu(Wgate · x) * (Wup · x)) with x = norm(hidden).
    private func feedForward(layer index: Int, tokens: Int, hidden: UnsafeMutablePointer<Float>, thread: Int) {
        let layer = layers[index]
        let activated = scratch.activated.pointer
        let width = model.feedForwardWidth

        let input = normalized(hidden, weight: layer.feedForwardNorm, tokens: tokens, thread: thread)
        pool.forEachChunk(of: layer.gateUp.panelCount / 2, chunk: 2) { pairs in
            layer.gateUp.multiplyGated(input, tokens: 0..<tokens, pairs: pairs, into: activated, outputStride: width)
        }
        pool.barrier()

        let values = scratch.feedForward.prepare(tokens: tokens, thread: thread, pool: pool) { token, _ in
            UnsafePointer(activated + token * width)
        }
        accumulate(layer.down, values, tokens: tokens, into: hidden)
    }

    /// Inside a pool region: RMS-normalised rows as matrix inputs.
    func normalized(
        _ hidden: UnsafePointer<Float>, weight: AlignedBuffer<Float>, tokens: Int, thread: Int
    ) -> ActivationBuffer {
        scratch.model.prepare(tokens: tokens, thread: thread, pool: pool) { token, row in
            kernels.rmsNorm(
                hidden + token * model.modelWidth, weight: weight.pointer, epsilon: model.normEpsilon,
                count: model.modelWidth, into: row)
            return UnsafePointer(row)
        }
    }

    /// Inside a pool region: hidden += matrix · values, ending with a barrier.
    private func accumulate(
        _ matrix: PackedMatrix, _ values: ActivationBuffer, tokens: Int, into hidden: UnsafeMutablePointer<Float>
    ) {
        pool.forEachChunk(of: matrix.panelCount, chunk: 2) { panels in
            matrix.multiply(
                values, tokens: 0..<tokens, panels: panels, into: hidden, outputStride: model.modelWidth,
                accumulate: true)
        }
        pool.barrier()
    }
}
