/// A contiguous layer range of one model with its KV cache: what the engine runs, whatever computes it.
///
/// Not thread-safe by design: all calls come from one thread, the step thread of the stage.
package protocol ModelStage: AnyObject {
    /// Width of the hidden states.
    var modelWidth: Int { get }
    /// Count of logits per row.
    var vocabularySize: Int { get }
    /// The layers this stage computes.
    var layerRange: Range<Int> { get }
    /// Layers of the whole model.
    var layerCount: Int { get }
    /// Whether the stage embeds tokens (owns layer 0).
    var isFirst: Bool { get }
    /// Whether the stage owns the output head.
    var isLast: Bool { get }
    /// Positions the model was trained for.
    var maxContextTokens: Int { get }
    /// Token positions per KV cache block.
    var kvBlockSize: Int { get }
    /// KV cache blocks of this stage; block ids are `0..<kvBlockCount`.
    var kvBlockCount: Int { get }
    /// How the KV cache holds numbers, such as "f16". It changes results: stages of one pipeline must agree.
    var kvType: String { get }
    /// Bytes of weights this stage streams, for display.
    var weightByteCount: Int { get }
    /// Most tokens one batch may hold.
    var maxBatchedTokens: Int { get }

    /// Runs the stage's layers over a batch and writes the KV cache.
    ///
    /// - Parameters:
    ///   - batch: at most `maxBatchedTokens` tokens.
    ///   - hidden: [batch tokens, modelWidth] f32 in batch order, in place. The first stage ignores what is in it and
    ///     embeds the tokens.
    func forward(_ batch: StepBatch, hidden: UnsafeMutableBufferPointer<Float>) throws

    /// Computes logits of the given rows of `hidden`; last stage only.
    ///
    /// - Parameters:
    ///   - rows: rows of `hidden`, any order.
    ///   - hidden: what `forward` left.
    ///   - body: called once per row, in order, with the row's index in `rows` and [vocabularySize] logits, which may
    ///     be overwritten and live until `body` returns.
    func withLogits(
        rows: [Int], hidden: UnsafeBufferPointer<Float>,
        _ body: (_ index: Int, _ logits: UnsafeMutableBufferPointer<Float>) throws -> Void
    ) throws
}
