import Kernels

/// Multi-head latent attention (arXiv 2405.04434): hidden += Wo · attention(norm(hidden)).
///
/// The matrices that carry a head's keys and values out of the latent are absorbed into its query and its result, for
/// prompts as for single tokens: `q · (Wk c) = (Wkᵀ q) · c` and `Σ p (Wv c) = Wv Σ p c`. So attention reads nothing but
/// the cached latents and the shared rotated keys, and a token's arithmetic is the same in every chunking.
struct LatentAttention {
    let shape: LatentAttentionConfiguration
    /// Index in the stage's caches.
    let cacheLayer: Int
    let cache: LatentCache
    let rotary: RotaryTable
    /// Index in ``BatchLayout/attention``.
    let workIndex: Int
    /// RMS norm before attention, [D].
    let norm: AlignedVector
    /// The query, or its latent, stacked on the latent of keys and values and the shared key.
    let projection: Projection
    /// From the query's latent: its norm, [query rank], and the projection, [H * (plain + rotary), query rank].
    let queryNorm: AlignedVector?
    let queryProjection: Projection?
    /// RMS norm of the latent, [R].
    let latentNorm: AlignedVector
    /// Wkᵀ of each head, [R, plain].
    let keyMatrices: [Projection]
    /// Wv of each head, [value width, R].
    let valueMatrices: [Projection]
    /// [D, H * value width].
    let output: ResidualProjection

    /// Values of the first part of the projection.
    private var leadingWidth: Int { projection.rows - shape.cachedWidth }

    /// Inside the pool region.
    func run(_ step: StageStep, _ scratch: LatentScratch) {
        step.multiply(projection, step.normalized(norm), into: step.scratch.projected.pointer)
        step.pool.barrier()
        storeLatents(step)
        projectQueries(step, scratch)
        splitQueries(step, scratch)
        step.pool.barrier()
        forEachHead(step, keyMatrices) { head, panels in
            let stride = shape.headCount * shape.cachedWidth
            keyMatrices[head].multiply(
                scratch.plainQueries, tokens: head * step.tokens..<(head + 1) * step.tokens, panels: panels,
                into: scratch.queries.pointer + head * shape.cachedWidth - head * step.tokens * stride,
                outputStride: stride)
        }
        step.pool.barrier()
        attend(step, scratch)
        step.pool.barrier()
        storeResults(step, scratch)
        step.pool.barrier()
        forEachHead(step, valueMatrices) { head, panels in
            let stride = shape.headCount * shape.valueWidth
            valueMatrices[head].multiply(
                scratch.results, tokens: head * step.tokens..<(head + 1) * step.tokens, panels: panels,
                into: step.scratch.attention.pointer + head * shape.valueWidth - head * step.tokens * stride,
                outputStride: stride)
        }
        step.pool.barrier()
        let (values, width) = (step.scratch.attention.pointer, shape.headCount * shape.valueWidth)
        let input = step.scratch.attended.prepare(tokens: step.tokens, thread: step.thread, pool: step.pool) {
            token, _ in UnsafePointer(values + token * width)
        }
        output.add(input, step: step)
    }

    /// Normalises each token's latent, rotates the shared key and writes both to the cache.
    private func storeLatents(_ step: StageStep) {
        let (projected, layout, kernels) = (step.scratch.projected.pointer, step.layout, step.kernels)
        step.pool.forEachChunk(of: step.tokens, chunk: 8) { chunk in
            for token in chunk {
                let latent = projected + token * projection.rows + leadingWidth
                let key = latent + shape.latentWidth
                kernels.rmsNorm(
                    latent, weight: latentNorm.pointer, epsilon: LatentAttentionConfiguration.normEpsilon,
                    count: shape.latentWidth, into: latent)
                rotary.rotate(key, count: 1, headWidth: shape.rotaryWidth, token: token, kernels: kernels)
                let slot = layout.slots[token]
                cache.write(
                    layer: cacheLayer, block: slot.block, offset: slot.offset, latent: latent, ropeKey: key)
            }
        }
    }

    /// Queries out of their latent, where they have one. Ends with a barrier.
    private func projectQueries(_ step: StageStep, _ scratch: LatentScratch) {
        guard let queryNorm, let queryProjection, let latents = scratch.queryLatents else {
            return step.pool.barrier()
        }
        let (projected, kernels) = (step.scratch.projected.pointer, step.kernels)
        // The latents have claimed this stretch's chunks; a barrier starts the next.
        step.pool.barrier()
        let input = latents.prepare(tokens: step.tokens, thread: step.thread, pool: step.pool) { token, row in
            kernels.rmsNorm(
                projected + token * projection.rows, weight: queryNorm.pointer,
                epsilon: LatentAttentionConfiguration.normEpsilon, count: leadingWidth, into: row)
            return UnsafePointer(row)
        }
        step.multiply(queryProjection, input, into: scratch.rawQueries.pointer)
        step.pool.barrier()
    }

    /// Rotates the queries' rotary parts into place and makes the plain parts matrix inputs, head by head.
    private func splitQueries(_ step: StageStep, _ scratch: LatentScratch) {
        let (layoutTokens, kernels) = (step.tokens, step.kernels)
        let stride = queryProjection?.rows ?? projection.rows
        let raw = queryProjection == nil ? step.scratch.projected.pointer : scratch.rawQueries.pointer
        step.pool.forEachChunk(of: layoutTokens, chunk: 2) { chunk in
            for token in chunk {
                let row = raw + token * stride
                rotary.rotate(
                    row + shape.plainWidth, count: shape.headCount, headWidth: shape.queryHeadWidth, token: token,
                    kernels: kernels)
                for head in 0..<shape.headCount {
                    let query = row + head * shape.queryHeadWidth
                    scratch.plainQueries.store(query, token: head * layoutTokens + token)
                    let place = (token * shape.headCount + head) * shape.cachedWidth + shape.latentWidth
                    (scratch.queries.pointer + place).update(from: query + shape.plainWidth, count: shape.rotaryWidth)
                }
            }
        }
    }

    /// Work on the panels of every head's matrix, over all threads.
    private func forEachHead(
        _ step: StageStep, _ matrices: [Projection], _ body: (_ head: Int, _ panels: Range<Int>) -> Void
    ) {
        let panels = matrices[0].panelCount
        let chunk = min(panels, 8)
        let perHead = (panels + chunk - 1) / chunk
        step.pool.forEachChunk(of: matrices.count * perHead, chunk: 1) { items in
            for item in items {
                let first = item % perHead * chunk
                body(item / perHead, first..<min(first + chunk, panels))
            }
        }
    }

    private func attend(_ step: StageStep, _ scratch: LatentScratch) {
        let (layout, partials, blockTables) = (step.layout, step.scratch.partials.pointer, step.blockTables)
        let work = layout.attention[workIndex]
        let (heads, queryStride) = (shape.headCount, shape.headCount * shape.cachedWidth)
        let outputStride = heads * shape.latentWidth
        step.pool.forEachChunk(of: work.items.count, chunk: 1) { chunk in
            for item in work.items[chunk] {
                let span = layout.spans[item.sequence]
                let query = UnsafePointer(scratch.queries.pointer + span.firstToken * queryStride)
                let blockTable = blockTables + span.blockTableStart
                guard let partitions = item.partitions else {
                    cache.attend(
                        layer: cacheLayer, heads: heads, rows: item.rows, query: query, queryStride: queryStride,
                        output: scratch.latents.pointer + span.firstToken * outputStride, outputStride: outputStride,
                        blockTable: blockTable, blockTableCount: span.blockTableCount,
                        firstPosition: span.startPosition, scale: shape.scale)
                    continue
                }
                for partition in partitions {
                    guard let start = work.partials(of: span, at: item.sequence, kvHead: 0, partition: partition) else {
                        continue
                    }
                    let unseen = max(0, partition * KeyValueCache.partitionSize - span.startPosition) * heads
                    cache.attendPart(
                        layer: cacheLayer, heads: heads, rows: unseen..<item.rows.upperBound, partition: partition,
                        query: query, queryStride: queryStride,
                        partials: partials + start + unseen * LatentCache.partialWidth(rank: shape.latentWidth),
                        blockTable: blockTable, blockTableCount: span.blockTableCount,
                        firstPosition: span.startPosition, scale: shape.scale)
                }
            }
        }
    }

    /// Makes the attended latents matrix inputs, head by head.
    private func storeResults(_ step: StageStep, _ scratch: LatentScratch) {
        let (layout, partials, tokens) = (step.layout, step.scratch.partials.pointer, step.tokens)
        let work = layout.attention[workIndex]
        let width = LatentCache.partialWidth(rank: shape.latentWidth)
        step.pool.forEachChunk(of: tokens, chunk: 2) { chunk in
            for token in chunk {
                let slot = layout.slots[token]
                let span = layout.spans[slot.span]
                for head in 0..<shape.headCount {
                    let row = scratch.latents.pointer + (token * shape.headCount + head) * shape.latentWidth
                    if let start = work.partials(of: span, at: slot.span, kvHead: 0, partition: 0) {
                        let first = (token - span.firstToken) * shape.headCount + head
                        cache.merge(
                            partials: partials + start + first * width,
                            partitions: slot.position / KeyValueCache.partitionSize + 1,
                            stride: work.partialStride(of: span), into: row)
                    }
                    scratch.results.store(row, token: head * tokens + token)
                }
            }
        }
    }
}
