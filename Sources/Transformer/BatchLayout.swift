import InferenceCore
import Kernels

/// Where each token of a step lives: its slot in the KV cache, and the attention problems the step consists of.
struct BatchLayout {
    /// One token's place in the KV cache.
    struct Slot {
        let block: Int32
        /// 0..<blockSize.
        let offset: Int
        let position: Int
        /// Index in `spans`.
        let span: Int
    }

    /// Some rows of one sequence and one kv head. Row `r` is query token `r / group`, head `r % group` of the group.
    struct AttentionItem {
        let sequence: Int
        let kvHead: Int
        let rows: Range<Int>
        /// The partitions of the positions that the item covers one by one; nil covers all positions at once.
        var partitions: Range<Int>?
    }

    /// A sequence's part of the step.
    struct Span {
        let firstToken: Int
        let startPosition: Int
        /// Where the block table begins in `blockTables`.
        let blockTableStart: Int
        let blockTableCount: Int
        let tokenCount: Int
        /// Where the partial results begin when threads divide the positions: [KVH, partitions, rows, partial width].
        var partialsStart: Int?

        /// Partitions of the positions that the last token sees.
        var partitions: Int {
            (startPosition + tokenCount - 1) / KeyValueCache.partitionSize + 1
        }
    }

    let tokenIDs: [TokenID]
    let slots: [Slot]
    let spans: [Span]
    let blockTables: [Int32]
    let attention: [AttentionItem]

    /// Checks a step against the cache and lays it out.
    ///
    /// - Throws: ``InferenceError`` `internalError` when the step would read or write outside the cache: the scheduler
    ///   or a peer is wrong, and nothing may be touched.
    init(_ batch: StepBatch, model: ModelConfiguration, kvBlockCount: Int, maxTokens: Int, threads: Int) throws {
        let blockSize = KeyValueCache.blockSize
        var tokenIDs: [TokenID] = []
        var slots: [Slot] = []
        var spans: [Span] = []
        var blockTables: [Int32] = []
        let total = batch.tokenCount
        guard total <= maxTokens else {
            throw Self.defect("step \(batch.stepID) has \(total) tokens (expected: at most \(maxTokens))")
        }
        tokenIDs.reserveCapacity(total)
        slots.reserveCapacity(total)
        for step in batch.sequences {
            let end = step.startPosition + step.tokenIDs.count
            guard step.startPosition >= 0, !step.tokenIDs.isEmpty, end <= model.maxContextTokens,
                step.blockTable.count * blockSize >= end,
                step.blockTable.allSatisfy({ (0..<Int32(kvBlockCount)).contains($0) }),
                step.tokenIDs.allSatisfy({ $0 < UInt32(model.vocabularySize) })
            else {
                throw Self.defect(
                    "\(step.sequenceID): \(step.tokenIDs.count) tokens from position \(step.startPosition) with "
                        + "\(step.blockTable.count) blocks do not fit \(kvBlockCount) cache blocks of \(blockSize), "
                        + "\(model.maxContextTokens) positions and a vocabulary of \(model.vocabularySize)")
            }
            spans.append(
                Span(
                    firstToken: tokenIDs.count, startPosition: step.startPosition,
                    blockTableStart: blockTables.count, blockTableCount: step.blockTable.count,
                    tokenCount: step.tokenIDs.count))
            for (index, token) in step.tokenIDs.enumerated() {
                let position = step.startPosition + index
                tokenIDs.append(token)
                slots.append(
                    Slot(
                        block: step.blockTable[position / blockSize], offset: position % blockSize, position: position,
                        span: spans.count - 1))
            }
            blockTables += step.blockTable
        }
        self.tokenIDs = tokenIDs
        self.slots = slots
        self.blockTables = blockTables
        let parts = Self.partialItems(&spans, tokenCount: total, model: model, threads: threads)
        attention = parts ?? Self.wholeItems(spans, tokenCount: total, model: model, threads: threads)
        self.spans = spans
    }

    /// Steps up to this many tokens may divide attention along the positions.
    static let partialTokens = 16
    /// Partial results a step may have, in floats: 16 MiB.
    static let partialCapacity = 4 << 20

    /// For few tokens of few sequences: rows stay together and threads divide the positions, so that one long context
    /// keeps all of them busy and is read once.
    ///
    /// - Returns: nil when the step has enough sequences to go round, or too many partial results.
    private static func partialItems(
        _ spans: inout [Span], tokenCount: Int, model: ModelConfiguration, threads: Int
    ) -> [AttentionItem]? {
        guard threads > 1, tokenCount <= partialTokens, spans.count < 2 * threads else { return nil }
        let group = model.headCount / model.keyValueHeadCount
        let width = KeyValueCache.partialWidth(headWidth: model.headWidth)
        var items: [AttentionItem] = []
        var used = 0
        for index in spans.indices {
            let span = spans[index]
            let rows = span.tokenCount * group
            spans[index].partialsStart = used
            // Neighbours go together, because each fetches the beginning of the next ahead.
            let perItem = max(1, span.partitions * model.keyValueHeadCount / (8 * threads))
            for kvHead in 0..<model.keyValueHeadCount {
                for first in stride(from: 0, to: span.partitions, by: perItem) {
                    items.append(
                        AttentionItem(
                            sequence: index, kvHead: kvHead, rows: 0..<rows,
                            partitions: first..<min(first + perItem, span.partitions)))
                }
            }
            used += model.keyValueHeadCount * span.partitions * rows * width
        }
        guard used <= partialCapacity else {
            for index in spans.indices { spans[index].partialsStart = nil }
            return nil
        }
        return items
    }

    /// Cuts attention into items: many rows share each converted cache block, yet every thread finds work. The cut does
    /// not change results.
    private static func wholeItems(
        _ spans: [Span], tokenCount: Int, model: ModelConfiguration, threads: Int
    ) -> [AttentionItem] {
        let group = model.headCount / model.keyValueHeadCount
        let allRows = tokenCount * model.headCount
        let rowsPerItem = min(max(allRows / (threads * 4), group), 8 * group)
        var items: [AttentionItem] = []
        for (index, span) in spans.enumerated() {
            let rows = span.tokenCount * group
            for kvHead in 0..<model.keyValueHeadCount {
                for start in stride(from: 0, to: rows, by: rowsPerItem) {
                    items.append(
                        AttentionItem(
                            sequence: index, kvHead: kvHead, rows: start..<min(start + rowsPerItem, rows)))
                }
            }
        }
        return items
    }

    private static func defect(_ message: String) -> InferenceError {
        InferenceError(code: .internalError, message: message)
    }
}
