import Kernels

/// What a pipeline stage is started with.
package struct StageConfiguration: Sendable {
    /// Compute threads, the step thread included; 1...256.
    package var threads: Int
    /// Blocks of the KV cache, shared by all sequences.
    package var kvBlockCount: Int
    /// Most tokens one step may hold; sizes the scratch buffers.
    package var maxBatchedTokens: Int
    /// How the KV cache holds numbers.
    package var kvType: KeyValueType

    package init(threads: Int, kvBlockCount: Int, maxBatchedTokens: Int = 512, kvType: KeyValueType = .f16) {
        self.threads = threads
        self.kvBlockCount = kvBlockCount
        self.maxBatchedTokens = maxBatchedTokens
        self.kvType = kvType
    }
}
