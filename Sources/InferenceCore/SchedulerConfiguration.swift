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
    /// Whether sequences share the KV of common prefixes.
    package var reusesPrefixes: Bool
    /// Guesses fill a micro-batch's decodes up to this many tokens, all sequences together; 0 turns speculation off. Guesses are cheap while
    /// a step waits for memory, not for arithmetic, so only small batches get any.
    package var maxDraftTokens: Int

    package init(
        maxBatchedTokens: Int = 512, maxRunningSequences: Int = 64, maxWaitingSequences: Int = 256,
        stageCount: Int = 1, kvBlockCount: Int, kvBlockSize: Int, maxContextTokens: Int, vocabularySize: Int,
        endOfGenerationTokenIDs: Set<TokenID> = [], reusesPrefixes: Bool = true, maxDraftTokens: Int = 0
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
        self.reusesPrefixes = reusesPrefixes
        self.maxDraftTokens = maxDraftTokens
    }

    /// Most tokens, prompt and completion, a sequence can have: the model's window or what the KV cache holds.
    ///
    /// The last token generated needs no KV, so the cache could take one more; the bound is kept simple.
    package var contextLimit: Int {
        min(maxContextTokens, kvBlockCount * kvBlockSize)
    }
}
