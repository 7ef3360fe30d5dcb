/// What a pipeline stage is started with.
package struct StageConfiguration: Sendable {
    /// Compute threads, the step thread included; 1...256.
    package var threads: Int
    /// Blocks of the KV cache, shared by all sequences.
    package var kvBlockCount: Int
    /// Most tokens one step may hold; sizes the scratch buffers.
    package var maxBatchedTokens: Int

    package init(threads: Int, kvBlockCount: Int, maxBatchedTokens: Int = 512) {
        self.threads = threads
        self.kvBlockCount = kvBlockCount
        self.maxBatchedTokens = maxBatchedTokens
    }
}
