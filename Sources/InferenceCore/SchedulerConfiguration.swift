/// The bounds a scheduler works in; fixed for its life.
package struct SchedulerConfiguration: Sendable, Equatable {
    /// Most tokens in one micro-batch, decodes and prefill chunks together.
    package var maxBatchedTokens: Int
    /// Most sequences that hold KV cache at the same time.
    package var maxRunningSequences: Int
    /// Most sequences that wait; one more is refused with `queueFull`. Preempted ones count, but are never refused.
    package var maxWaitingSequences: Int
    /// Pipeline stages, and so micro-batches that may be in flight.
    package var stageCount: Int
    /// KV cache blocks of each stage.
    package var kvBlockCount: Int
    /// Token positions per block.
    package var kvBlockSize: Int
    /// Positions the model was trained for.
    package var maxContextTokens: Int
    /// Token ids are below it.
    package var vocabularySize: Int
    /// Tokens that end a generation unless the request ignores them.
    package var endOfGenerationTokenIDs: Set<TokenID>

    package init(
        maxBatchedTokens: Int = 512, maxRunningSequences: Int = 64, maxWaitingSequences: Int = 256,
        stageCount: Int = 1, kvBlockCount: Int, kvBlockSize: Int, maxContextTokens: Int, vocabularySize: Int,
        endOfGenerationTokenIDs: Set<TokenID> = []
    ) {
        self.maxBatchedTokens = maxBatchedTokens
        self.maxRunningSequences = maxRunningSequences
        self.maxWaitingSequences = maxWaitingSequences
        self.stageCount = stageCount
        self.kvBlockCount = kvBlockCount
        self.kvBlockSize = kvBlockSize
        self.maxContextTokens = maxContextTokens
        self.vocabularySize = vocabularySize
        self.endOfGenerationTokenIDs = endOfGenerationTokenIDs
    }

    /// Most tokens, prompt and completion, a sequence can have: the model's window or what the KV cache holds.
    ///
    /// The last token generated needs no KV, so the cache could take one more; the bound is kept simple.
    package var contextLimit: Int {
        min(maxContextTokens, kvBlockCount * kvBlockSize)
    }
}
