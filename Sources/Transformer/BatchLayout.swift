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
    }

    /// Some rows of one sequence and one kv head. Row `r` is query token `r / group`, head `r % group` of the group.
    struct AttentionItem {
        let sequence: Int
        let kvHead: Int
        let rows: Range<Int>
    }

    /// A sequence's part of the step.
    struct Span {
        let firstToken: Int
        let startPosition: Int
        /// Where the block table begins in `blockTables`.
        let blockTableStart: Int
        let blockTableCount: Int
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
                    blockTableStart: blockTables.count, blockTableCount: step.blockTable.count))
            for (index, token) in step.tokenIDs.enumerated() {
                let position = step.startPosition + index
                tokenIDs.append(token)
                slots.append(
                    Slot(
                        block: step.blockTable[position / blockSize], offset: position % blockSize, position: position))
            }
            blockTables += step.blockTable
        }
        self.tokenIDs = tokenIDs
        self.slots = slots
        self.spans = spans
        self.blockTables = blockTables
        attention = Self.attentionItems(spans, tokenCount: total, model: model, threads: threads)
    }

    /// Cuts attention into items: many rows share each converted cache block, yet every thread finds work. The cut does
    /// not change results.
    private static func attentionItems(
        _ spans: [Span], tokenCount: Int, model: ModelConfiguration, threads: Int
    ) -> [AttentionItem] {
        let group = model.headCount / model.keyValueHeadCount
        let allRows = tokenCount * model.headCount
        let rowsPerItem = min(max(allRows / (threads * 4), 1), 8 * group)
        var items: [AttentionItem] = []
        for (index, span) in spans.enumerated() {
            let end = index + 1 < spans.count ? spans[index + 1].firstToken : tokenCount
            let rows = (end - span.firstToken) * group
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
