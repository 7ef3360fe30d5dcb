import Kernels

/// What cutting attention into pieces needs to know of a model.
struct AttentionShape {
    /// Key/value heads: `KVH`, or 1 where all heads read one latent.
    let keyValueHeads: Int
    /// Query heads that read the same keys.
    let group: Int
    /// Floats of one row's partial result.
    let partialWidth: Int

    init(_ attention: AttentionConfiguration) {
        switch attention {
        case .grouped(let grouped):
            keyValueHeads = grouped.keyValueHeadCount
            group = grouped.group
            partialWidth = KeyValueCache.partialWidth(headWidth: grouped.headWidth)
        case .latent(let latent):
            keyValueHeads = 1
            group = latent.headCount
            partialWidth = LatentCache.partialWidth(rank: latent.latentWidth)
        }
    }
}

/// The attention of one step in a layer, cut into items that threads take. The cut does not change results.
struct AttentionWork {
    /// Some rows of one sequence and one kv head. Row `r` is query token `r / group`, head `r % group` of the group.
    struct Item {
        let sequence: Int
        let kvHead: Int
        let rows: Range<Int>
        /// The partitions of the positions that the item covers one by one; nil covers all positions at once.
        var partitions: Range<Int>?
    }

    let window: Int?
    let items: [Item]
    /// Where each span's partial results begin when threads divide the positions: [KVH, partitions, rows, partial width].
    private let partialsStart: [Int]?
    private let shape: AttentionShape

    /// Steps up to this many tokens may divide attention along the positions.
    static let partialTokens = 16
    /// Partial results a step may have, in floats: 16 MiB.
    static let partialCapacity = 4 << 20

    init(_ spans: [BatchLayout.Span], shape: AttentionShape, window: Int?, tokenCount: Int, threads: Int) {
        self.window = window
        self.shape = shape
        if let parts = Self.partialItems(spans, shape, window: window, tokenCount: tokenCount, threads: threads) {
            items = parts.items
            partialsStart = parts.starts
        } else {
            items = Self.wholeItems(spans, shape, tokenCount: tokenCount, threads: threads)
            partialsStart = nil
        }
    }

    /// Partitions that some token of a span sees.
    func partitions(_ span: BatchLayout.Span) -> Range<Int> { Self.partitions(span, window: window) }

    /// Where, in floats, the partial results of a partition begin for a span's row 0; nil when positions are not divided.
    func partials(of span: BatchLayout.Span, at index: Int, kvHead: Int, partition: Int) -> Int? {
        guard let partialsStart else { return nil }
        let partitions = partitions(span)
        let place = kvHead * partitions.count + partition - partitions.lowerBound
        return partialsStart[index] + place * partialStride(of: span)
    }

    /// Floats from one partition's partial results to the next.
    func partialStride(of span: BatchLayout.Span) -> Int { span.tokenCount * shape.group * shape.partialWidth }

    private static func partitions(_ span: BatchLayout.Span, window: Int?) -> Range<Int> {
        let first = KeyValueCache.visiblePartitions(position: span.startPosition, window: window).lowerBound
        return
            first..<KeyValueCache.visiblePartitions(position: span.positions.upperBound - 1, window: window).upperBound
    }

    /// For few tokens of few sequences: rows stay together and threads divide the positions, so that one long context
    /// keeps all of them busy and is read once.
    ///
    /// - Returns: nil when the step has enough sequences to go round, or too many partial results.
    private static func partialItems(
        _ spans: [BatchLayout.Span], _ shape: AttentionShape, window: Int?, tokenCount: Int, threads: Int
    ) -> (items: [Item], starts: [Int])? {
        guard threads > 1, tokenCount <= partialTokens, spans.count < 2 * threads else { return nil }
        var items: [Item] = []
        var starts: [Int] = []
        var used = 0
        for (index, span) in spans.enumerated() {
            let rows = span.tokenCount * shape.group
            let partitions = partitions(span, window: window)
            starts.append(used)
            // Neighbours go together, because each fetches the beginning of the next ahead.
            let perItem = max(1, partitions.count * shape.keyValueHeads / (8 * threads))
            for kvHead in 0..<shape.keyValueHeads {
                for first in stride(from: partitions.lowerBound, to: partitions.upperBound, by: perItem) {
                    items.append(
                        Item(
                            sequence: index, kvHead: kvHead, rows: 0..<rows,
                            partitions: first..<min(first + perItem, partitions.upperBound)))
                }
            }
            used += shape.keyValueHeads * partitions.count * rows * shape.partialWidth
        }
        return used <= partialCapacity ? (items, starts) : nil
    }

    /// Many rows share each converted cache block, yet every thread finds work.
    private static func wholeItems(
        _ spans: [BatchLayout.Span], _ shape: AttentionShape, tokenCount: Int, threads: Int
    ) -> [Item] {
        // Of a large group a part is enough to share a block.
        let unit = min(shape.group, 16)
        let allRows = tokenCount * shape.group * shape.keyValueHeads
        let rowsPerItem = min(max(allRows / (threads * 4), unit), 8 * unit)
        var items: [Item] = []
        for (index, span) in spans.enumerated() {
            let rows = span.tokenCount * shape.group
            for kvHead in 0..<shape.keyValueHeads {
                for start in stride(from: 0, to: rows, by: rowsPerItem) {
                    items.append(
                        Item(sequence: index, kvHead: kvHead, rows: start..<min(start + rowsPerItem, rows)))
                }
            }
        }
        return items
    }
}
