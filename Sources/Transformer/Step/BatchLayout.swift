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

    /// A sequence's part of the step.
    struct Span {
        let firstToken: Int
        let startPosition: Int
        /// Where the block table begins in `blockTables`.
        let blockTableStart: Int
        let blockTableCount: Int
        let tokenCount: Int

        var positions: Range<Int> { startPosition..<startPosition + tokenCount }
    }

    let tokenIDs: [TokenID]
    let slots: [Slot]
    let spans: [Span]
    let blockTables: [Int32]
    /// The attention problems, once for each of the windows that the model's layers have.
    let attention: [AttentionWork]

    /// Checks a step against the cache and lays it out.
    ///
    /// - Throws: ``InferenceError`` `internalError` when the step would read or write outside the cache: the scheduler
    ///   or a peer is wrong, and nothing may be touched.
    ///
    /// - Parameter windows: of the stage's layers, each once.
    init(
        _ batch: StepBatch, model: ModelConfiguration, windows: [Int?], kvBlockCount: Int, maxTokens: Int, threads: Int
    ) throws {
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
        self.spans = spans
        attention = windows.map {
            AttentionWork(
                spans, shape: AttentionShape(model.attention), window: $0, tokenCount: total, threads: threads)
        }
    }

    private static func defect(_ message: String) -> InferenceError {
        InferenceError(code: .internalError, message: message)
    }
}
