import CKernels

/// The paged key/value cache of a range of layers: `blockCount` blocks of 16 positions each.
///
/// Per layer, keys are `[block, KVH, w, 16]` (transposed, so that 16 positions are scored at once) and values
/// `[block, KVH, 16, w]`, w being dh rounded up to a multiple of 16. Values that the type cannot hold are clamped, so a
/// reused block never carries an infinity.
// @unchecked: threads write disjoint slots, then read after a barrier.
package final class KeyValueCache: @unchecked Sendable {
    /// Positions per block.
    package static let blockSize = Int(CK_KV_BLOCK)

    package let layerCount: Int
    package let blockCount: Int
    package let kvHeads: Int
    package let headWidth: Int
    package let type: KeyValueType
    private let keys: AlignedBuffer<UInt8>
    private let values: AlignedBuffer<UInt8>
    /// Bytes of the keys, or values, of one head in one block.
    private let headBytes: Int
    private let kernels: KernelSet

    /// - Parameter headWidth: at most 256; no memory is lost with a multiple of 16.
    /// - Throws: `KernelError` `invalidArgument`, `resourceExhausted`.
    package init(
        layerCount: Int, blockCount: Int, kvHeads: Int, headWidth: Int, type: KeyValueType = .f16,
        kernels: KernelSet = .active
    ) throws {
        guard layerCount >= 0, blockCount >= 0, kvHeads > 0, (1...256).contains(headWidth) else {
            throw KernelError(
                code: .invalidArgument,
                message: "key/value cache: got \(layerCount) layers, \(blockCount) blocks, \(kvHeads) heads of "
                    + "\(headWidth); expected a head width of 1...256")
        }
        self.layerCount = layerCount
        self.blockCount = blockCount
        self.kvHeads = kvHeads
        self.headWidth = headWidth
        self.kernels = kernels
        self.type = type
        headBytes = ck_kv_head_bytes(type.kind, headWidth)
        let count = layerCount * blockCount * kvHeads * headBytes
        keys = try AlignedBuffer(count: count)
        values = try AlignedBuffer(count: count)
    }

    /// Bytes of one block over all layers.
    package var bytesPerBlock: Int { layerCount * kvHeads * headBytes * 2 }

    /// Stores one token's keys and values, each `[KVH, dh]` f32, in slot `offset` of `block`.
    /// - Parameter layer: index within this cache's layers.
    package func write(
        layer: Int, block: Int32, offset: Int, key: UnsafePointer<Float>, value: UnsafePointer<Float>
    ) {
        precondition(layer >= 0 && layer < layerCount && block >= 0 && block < blockCount)
        precondition(offset >= 0 && offset < Self.blockSize)
        for head in 0..<kvHeads {
            let base = byteOffset(layer: layer, block: Int(block), head: head)
            kernels.table.pointee.kv_write(
                type.kind, key + head * headWidth, value + head * headWidth, headWidth, offset, keys.pointer + base,
                values.pointer + base)
        }
    }

    /// Causal attention of one sequence and one kv head.
    ///
    /// Row `r` of `rows` is query token `r / group`, head `r % group` of the kv head's group; the result of a row does
    /// not depend on which rows are asked for together. Several rows per call reuse each converted block (about 8 pay).
    /// - Parameters:
    ///   - query: `[tokens, queryStride]` f32, already rotated; query head `h` of kv head `j` is at
    ///     `(j * group + h) * dh`.
    ///   - output: the same form, written.
    ///   - blockTable: the sequence's blocks in order, covering `firstPosition + tokens` positions.
    ///   - firstPosition: position of query token 0; token `i` sees positions up to `firstPosition + i`.
    ///   - window: a token sees itself and the `window - 1` positions before it; nil: all. Blocks outside of the window
    ///     of every row are not touched, nor are their entries of the block table checked.
    ///   - scale: multiplies q·k, usually `1 / sqrt(dh)`.
    package func attend(
        layer: Int, kvHead: Int, group: Int, rows: Range<Int>, query: UnsafePointer<Float>, queryStride: Int,
        output: UnsafeMutablePointer<Float>, outputStride: Int, blockTable: UnsafePointer<Int32>, blockTableCount: Int,
        firstPosition: Int, window: Int? = nil, scale: Float
    ) {
        if rows.isEmpty { return }
        var problem = problem(
            layer: layer, kvHead: kvHead, group: group, rows: rows, query: query, queryStride: queryStride,
            output: output, outputStride: outputStride, blockTable: blockTable, blockTableCount: blockTableCount,
            usedBlocks: 0..<blockTableCount, firstPosition: firstPosition, window: window, scale: scale)
        kernels.table.pointee.attend(&problem, rows.lowerBound, rows.upperBound)
    }

    /// Positions of a partition, which `attendPart` computes by itself.
    package static let partitionSize = Int(CK_KV_PARTITION)
    /// Floats of one row's partial result.
    package static func partialWidth(headWidth: Int) -> Int { ck_kv_width(headWidth) + Int(CK_PARTIAL_EXTRA) }

    /// The partitions that a token at `position` sees something of.
    package static func visiblePartitions(position: Int, window: Int? = nil) -> Range<Int> {
        let first = window.map { max(0, position - $0 + 1) } ?? 0
        return first / partitionSize..<position / partitionSize + 1
    }

    /// One partition's share of `attend`, for work that several threads divide along the positions.
    ///
    /// - Parameters:
    ///   - rows: each must reach the partition: its query token is not before position `partition * partitionSize`. Rows
    ///     whose window begins after the partition get a partial result that `merge` passes over.
    ///   - partials: `[rows, partialWidth(headWidth:)]`, written.
    package func attendPart(
        layer: Int, kvHead: Int, group: Int, rows: Range<Int>, partition: Int, query: UnsafePointer<Float>,
        queryStride: Int, partials: UnsafeMutablePointer<Float>, blockTable: UnsafePointer<Int32>,
        blockTableCount: Int, firstPosition: Int, window: Int? = nil, scale: Float
    ) {
        if rows.isEmpty { return }
        precondition(firstPosition + rows.lowerBound / group >= partition * Self.partitionSize && partition >= 0)
        let firstBlock = partition * Self.partitionSize / Self.blockSize
        // Nothing is written to `output`.
        var problem = problem(
            layer: layer, kvHead: kvHead, group: group, rows: rows, query: query, queryStride: queryStride,
            output: partials, outputStride: 0, blockTable: blockTable, blockTableCount: blockTableCount,
            usedBlocks: firstBlock..<firstBlock + Self.partitionSize / Self.blockSize,
            firstPosition: firstPosition, window: window, scale: scale)
        kernels.table.pointee.attend_part(&problem, rows.lowerBound, rows.upperBound, partition, partials)
    }

    /// What `attend` gives for a row, from its partial results, `stride` floats apart: `output` is `[dh]`.
    /// - Parameter partials: of the first of `visiblePartitions(position:window:)`, `partitions` being their count.
    package func merge(
        partials: UnsafePointer<Float>, partitions: Int, stride: Int, into output: UnsafeMutablePointer<Float>
    ) {
        kernels.table.pointee.merge_partitions(partials, partitions, stride, headWidth, output)
    }

    /// Checks everything that the kernel takes for granted, of the block table only what the call reads: `usedBlocks`.
    private func problem(
        layer: Int, kvHead: Int, group: Int, rows: Range<Int>, query: UnsafePointer<Float>, queryStride: Int,
        output: UnsafeMutablePointer<Float>, outputStride: Int, blockTable: UnsafePointer<Int32>, blockTableCount: Int,
        usedBlocks: Range<Int>, firstPosition: Int, window: Int?, scale: Float
    ) -> ck_attention {
        precondition(layer >= 0 && layer < layerCount && kvHead >= 0 && kvHead < kvHeads && group > 0)
        let lastPosition = firstPosition + (rows.upperBound - 1) / group
        precondition(rows.lowerBound >= 0 && firstPosition >= 0 && lastPosition / Self.blockSize < blockTableCount)
        precondition(window.map { $0 > 0 } ?? true)
        let firstVisible = window.map { max(0, firstPosition + rows.lowerBound / group - $0 + 1) } ?? 0
        for index in usedBlocks.clamped(to: firstVisible / Self.blockSize..<lastPosition / Self.blockSize + 1) {
            precondition(blockTable[index] >= 0 && blockTable[index] < blockCount, "block table names a missing block")
        }
        let base = byteOffset(layer: layer, block: 0, head: kvHead)
        let headOffset = kvHead * group * headWidth
        return ck_attention(
            query: query + headOffset, output: output + headOffset, query_stride: queryStride,
            output_stride: outputStride, keys: keys.pointer + base, values: values.pointer + base,
            block_stride: kvHeads * headBytes, kind: type.kind, block_table: blockTable,
            first_position: firstPosition, window: window ?? .max, group: group, head_width: headWidth, scale: scale)
    }

    private func byteOffset(layer: Int, block: Int, head: Int) -> Int {
        ((layer * blockCount + block) * kvHeads + head) * headBytes
    }
}
