import CKernels

/// The paged cache of multi-head latent attention (DeepSeek-V2, arXiv:2405.04434) for a range of layers: `blockCount`
/// blocks of 16 positions each.
///
/// A position takes one row of `rank + ropeWidth` numbers in a layer, the compressed latent and then the rotated key
/// that all heads share, and nothing else: per layer the cache is `[block, 16, rank + ropeWidth]`. With the absorbed
/// matrices a head's query is as wide as a row, its score is their product, and its value is the row's latent part.
/// Numbers that the type cannot hold are clamped, so a reused block never carries an infinity.
// @unchecked: threads write disjoint slots, then read after a barrier.
package final class LatentCache: @unchecked Sendable {
    package let layerCount: Int
    package let blockCount: Int
    /// Width of the latent, `R`: the width of a head's output.
    package let rank: Int
    /// Width of the rotated key.
    package let ropeWidth: Int
    /// `f16` or `f32`.
    package let type: KeyValueType
    private let memory: AlignedBuffer<UInt8>
    private let kernels: KernelSet

    /// - Throws: `KernelError` `invalidArgument` (a type that the cache does not hold is one), `resourceExhausted`.
    package init(
        layerCount: Int, blockCount: Int, rank: Int, ropeWidth: Int, type: KeyValueType = .f16,
        kernels: KernelSet = .active
    ) throws {
        guard layerCount >= 0, blockCount >= 0, (1...Int(CK_VALUE_WIDTH)).contains(rank), (0...1024).contains(ropeWidth)
        else {
            throw KernelError(
                code: .invalidArgument,
                message: "latent cache: got \(layerCount) layers, \(blockCount) blocks, rank \(rank) and rope width "
                    + "\(ropeWidth); expected a rank of 1...\(CK_VALUE_WIDTH) and a rope width of 0...1024")
        }
        guard type != .int8 else {
            throw KernelError(
                code: .invalidArgument, message: "latent cache: got type \(type.rawValue), expected f16 or f32")
        }
        self.layerCount = layerCount
        self.blockCount = blockCount
        self.rank = rank
        self.ropeWidth = ropeWidth
        self.type = type
        self.kernels = kernels
        let bytesPerToken = Self.bytesPerToken(rank: rank, ropeWidth: ropeWidth, type: type)
        // A vector may reach past the last row.
        memory = try AlignedBuffer(count: layerCount * blockCount * KeyValueCache.blockSize * bytesPerToken + 64)
    }

    /// Floats of one head's query: a row's width.
    package var width: Int { rank + ropeWidth }

    /// Bytes of one position in one layer.
    package static func bytesPerToken(rank: Int, ropeWidth: Int, type: KeyValueType) -> Int {
        (rank + ropeWidth) * ck_kv_element_bytes(type.kind)
    }

    /// Bytes of one position in one layer.
    package var bytesPerToken: Int { Self.bytesPerToken(rank: rank, ropeWidth: ropeWidth, type: type) }

    /// Bytes of one block over all layers.
    package var bytesPerBlock: Int { layerCount * KeyValueCache.blockSize * bytesPerToken }

    /// Stores one token's normalised latent, `[rank]`, and rotated key, `[ropeWidth]`, in slot `offset` of `block`.
    /// - Parameter layer: index within this cache's layers.
    package func write(
        layer: Int, block: Int32, offset: Int, latent: UnsafePointer<Float>, ropeKey: UnsafePointer<Float>
    ) {
        precondition(layer >= 0 && layer < layerCount && block >= 0 && block < blockCount)
        precondition(offset >= 0 && offset < KeyValueCache.blockSize)
        let row =
            memory.pointer
            + ((layer * blockCount + Int(block)) * KeyValueCache.blockSize + offset) * bytesPerToken
        kernels.table.pointee.latent_write(type.kind, latent, rank, row)
        kernels.table.pointee.latent_write(
            type.kind, ropeKey, ropeWidth, row + rank * ck_kv_element_bytes(type.kind))
    }

    /// Causal attention of one sequence.
    ///
    /// Row `r` of `rows` is query token `r / heads`, head `r % heads`; the result of a row does not depend on which rows
    /// are asked for together. Multiples of 8 rows of one token use the processor best.
    /// - Parameters:
    ///   - query: `[tokens, queryStride]` f32; head `h` has `rank + ropeWidth` values from `h * (rank + ropeWidth)` on:
    ///     the query absorbed into the latent, then its rotated part.
    ///   - output: `[tokens, outputStride]`, written; head `h` has `rank` values from `h * rank` on.
    ///   - blockTable: the sequence's blocks in order, covering `firstPosition + tokens` positions.
    ///   - firstPosition: position of query token 0; token `i` sees positions `0...firstPosition + i`.
    ///   - scale: multiplies the scores.
    package func attend(
        layer: Int, heads: Int, rows: Range<Int>, query: UnsafePointer<Float>, queryStride: Int,
        output: UnsafeMutablePointer<Float>, outputStride: Int, blockTable: UnsafePointer<Int32>, blockTableCount: Int,
        firstPosition: Int, scale: Float
    ) {
        if rows.isEmpty { return }
        var problem = problem(
            layer: layer, heads: heads, rows: rows, query: query, queryStride: queryStride, output: output,
            outputStride: outputStride, blockTable: blockTable, blockTableCount: blockTableCount,
            usedBlocks: 0..<blockTableCount, firstPosition: firstPosition, scale: scale)
        kernels.table.pointee.latent_attend(&problem, rows.lowerBound, rows.upperBound)
    }

    /// Floats of one row's partial result.
    package static func partialWidth(rank: Int) -> Int { KeyValueCache.partialWidth(headWidth: rank) }

    /// One partition's share of `attend`, for work that several threads divide along the positions. All heads of a
    /// token in one call read the partition from memory once.
    ///
    /// - Parameters:
    ///   - rows: each must reach the partition: its query token is not before `partition * partitionSize`
    ///     (`KeyValueCache.partitionSize`).
    ///   - partials: `[rows, partialWidth(rank:)]`, written.
    package func attendPart(
        layer: Int, heads: Int, rows: Range<Int>, partition: Int, query: UnsafePointer<Float>, queryStride: Int,
        partials: UnsafeMutablePointer<Float>, blockTable: UnsafePointer<Int32>, blockTableCount: Int,
        firstPosition: Int, scale: Float
    ) {
        if rows.isEmpty { return }
        let size = KeyValueCache.partitionSize
        precondition(partition >= 0 && firstPosition + rows.lowerBound / heads >= partition * size)
        let blocks = size / KeyValueCache.blockSize
        // Nothing is written to `output`.
        var problem = problem(
            layer: layer, heads: heads, rows: rows, query: query, queryStride: queryStride, output: partials,
            outputStride: 0, blockTable: blockTable, blockTableCount: blockTableCount,
            usedBlocks: partition * blocks..<(partition + 1) * blocks, firstPosition: firstPosition, scale: scale)
        kernels.table.pointee.latent_attend_part(&problem, rows.lowerBound, rows.upperBound, partition, partials)
    }

    /// What `attend` gives for a row, from the partial results of partitions `0..<partitions`, `stride` floats apart:
    /// `output` is `[rank]`.
    package func merge(
        partials: UnsafePointer<Float>, partitions: Int, stride: Int, into output: UnsafeMutablePointer<Float>
    ) {
        kernels.table.pointee.merge_partitions(partials, partitions, stride, rank, output)
    }

    /// Checks everything that the kernel takes for granted, of the block table only what the call reads: `usedBlocks`.
    private func problem(
        layer: Int, heads: Int, rows: Range<Int>, query: UnsafePointer<Float>, queryStride: Int,
        output: UnsafeMutablePointer<Float>, outputStride: Int, blockTable: UnsafePointer<Int32>, blockTableCount: Int,
        usedBlocks: Range<Int>, firstPosition: Int, scale: Float
    ) -> ck_latent {
        precondition(layer >= 0 && layer < layerCount && heads > 0)
        let blockSize = KeyValueCache.blockSize
        let lastPosition = firstPosition + (rows.upperBound - 1) / heads
        precondition(rows.lowerBound >= 0 && firstPosition >= 0 && lastPosition / blockSize < blockTableCount)
        for index in usedBlocks.clamped(to: 0..<lastPosition / blockSize + 1) {
            precondition(blockTable[index] >= 0 && blockTable[index] < blockCount, "block table names a missing block")
        }
        return ck_latent(
            query: query, output: output, query_stride: queryStride, output_stride: outputStride,
            cache: memory.pointer + layer * blockCount * blockSize * bytesPerToken, kind: type.kind,
            block_table: blockTable, first_position: firstPosition, heads: heads, width: width, value_width: rank,
            scale: scale)
    }
}
