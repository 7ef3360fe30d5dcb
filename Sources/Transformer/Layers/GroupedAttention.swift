import Kernels

/// Attention with grouped query heads: hidden += Wo · attention(norm(hidden)).
struct GroupedAttention {
    let shape: GroupedAttentionConfiguration
    /// Index in the stage's caches.
    let cacheLayer: Int
    let cache: KeyValueCache
    let rotary: RotaryTable
    /// Index in ``BatchLayout/attention``.
    let workIndex: Int
    /// RMS norm before attention, [D].
    let norm: AlignedVector
    /// Query, key and value projections stacked, [(H + 2 KVH) * dh, D].
    let projection: Projection
    /// Their biases, [(H + 2 KVH) * dh].
    let bias: AlignedVector?
    /// RMS norms of each head's query and key, [dh].
    let queryNorm: AlignedVector?
    let keyNorm: AlignedVector?
    /// [D, H * dh].
    let output: ResidualProjection

    /// Inside the pool region.
    func run(_ step: StageStep) {
        step.multiply(projection, step.normalized(norm), into: step.scratch.projected.pointer)
        step.pool.barrier()
        rotateAndStore(step)
        step.pool.barrier()
        attend(step)
        step.pool.barrier()
        output.add(results(step), step: step)
    }

    private func rotateAndStore(_ step: StageStep) {
        let (projected, layout, kernels, epsilon) =
            (step.scratch.projected.pointer, step.layout, step.kernels, step.normEpsilon)
        let heads = shape.headCount + shape.keyValueHeadCount
        step.pool.forEachChunk(of: step.tokens, chunk: 8) { chunk in
            for token in chunk {
                let row = projected + token * projection.rows
                if let bias { kernels.add(bias.pointer, to: row, count: projection.rows) }
                if let queryNorm, let keyNorm {
                    kernels.rmsNormHeads(
                        row, heads: shape.headCount, headWidth: shape.headWidth, weight: queryNorm.pointer,
                        epsilon: epsilon)
                    kernels.rmsNormHeads(
                        row + shape.queryWidth, heads: shape.keyValueHeadCount, headWidth: shape.headWidth,
                        weight: keyNorm.pointer, epsilon: epsilon)
                }
                // Queries and keys lie next to each other, so one call rotates both.
                rotary.rotate(row, count: heads, headWidth: shape.headWidth, token: token, kernels: kernels)
                let slot = layout.slots[token]
                let key = row + shape.queryWidth
                cache.write(
                    layer: cacheLayer, block: slot.block, offset: slot.offset, key: key,
                    value: key + shape.keyValueWidth)
            }
        }
    }

    private func attend(_ step: StageStep) {
        let (layout, scratch, blockTables) = (step.layout, step.scratch, step.blockTables)
        let work = layout.attention[workIndex]
        step.pool.forEachChunk(of: work.items.count, chunk: 1) { chunk in
            for item in work.items[chunk] {
                let span = layout.spans[item.sequence]
                let query = scratch.projected.pointer + span.firstToken * projection.rows
                let blockTable = blockTables + span.blockTableStart
                guard let partitions = item.partitions else {
                    cache.attend(
                        layer: cacheLayer, kvHead: item.kvHead, group: shape.group, rows: item.rows, query: query,
                        queryStride: projection.rows,
                        output: scratch.attention.pointer + span.firstToken * shape.queryWidth,
                        outputStride: shape.queryWidth, blockTable: blockTable, blockTableCount: span.blockTableCount,
                        firstPosition: span.startPosition, window: work.window, scale: shape.scale)
                    continue
                }
                for partition in partitions {
                    guard
                        let start = work.partials(
                            of: span, at: item.sequence, kvHead: item.kvHead, partition: partition)
                    else { continue }
                    // Tokens before the partition do not see it.
                    let unseen = max(0, partition * KeyValueCache.partitionSize - span.startPosition) * shape.group
                    cache.attendPart(
                        layer: cacheLayer, kvHead: item.kvHead, group: shape.group,
                        rows: unseen..<item.rows.upperBound, partition: partition, query: query,
                        queryStride: projection.rows,
                        partials: scratch.partials.pointer + start
                            + unseen * KeyValueCache.partialWidth(headWidth: shape.headWidth),
                        blockTable: blockTable, blockTableCount: span.blockTableCount,
                        firstPosition: span.startPosition, window: work.window, scale: shape.scale)
                }
            }
        }
    }

    /// The attention results as matrix inputs, put together where threads divided the positions.
    private func results(_ step: StageStep) -> ActivationBuffer {
        let (layout, scratch) = (step.layout, step.scratch)
        let work = layout.attention[workIndex]
        return scratch.attended.prepare(tokens: step.tokens, thread: step.thread, pool: step.pool) { token, row in
            let slot = layout.slots[token]
            let span = layout.spans[slot.span]
            let visible = KeyValueCache.visiblePartitions(position: slot.position, window: work.window)
            let first = (token - span.firstToken) * shape.group
            let width = KeyValueCache.partialWidth(headWidth: shape.headWidth)
            for head in 0..<shape.headCount {
                guard
                    let start = work.partials(
                        of: span, at: slot.span, kvHead: head / shape.group, partition: visible.lowerBound)
                else { return UnsafePointer(scratch.attention.pointer + token * shape.queryWidth) }
                cache.merge(
                    partials: scratch.partials.pointer + start + (first + head % shape.group) * width,
                    partitions: visible.count, stride: work.partialStride(of: span), into: row + head * shape.headWidth)
            }
            return UnsafePointer(row)
        }
    }
}
