import Kernels

/// What a pipeline stage is started with.
package struct StageConfiguration: Sendable {
    /// Compute threads, the step thread included; 1...256.
    package var threads: Int
    /// Blocks of the KV cache, shared by all sequences.
    package var kvBlockCount: Int
    /// Most tokens one step may hold; sizes the scratch buffers.
    package var maxBatchedTokens: Int
    /// How the KV cache holds numbers. Latent caches have no int8 form and are f16 instead.
    package var kvType: KeyValueType
    /// The slow twin: weights, activations and KV cache all in f32, whatever `kvType` says.
    package var exact: Bool

    package init(
        threads: Int, kvBlockCount: Int, maxBatchedTokens: Int = 512, kvType: KeyValueType = .f16, exact: Bool = false
    ) {
        self.threads = threads
        self.kvBlockCount = kvBlockCount
        self.maxBatchedTokens = maxBatchedTokens
        self.kvType = kvType
        self.exact = exact
    }

    /// How the cache of a model really holds numbers.
    func kvType(of attention: AttentionConfiguration) -> KeyValueType {
        if exact { return .f32 }
        if case .latent = attention, kvType == .int8 { return .f16 }
        return kvType
    }
}
