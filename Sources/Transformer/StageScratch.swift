import InferenceCore
import Kernels

/// The buffers of a step, made once. `T` is the largest step.
struct StageScratch {
    /// Steps up to this many tokens let every thread prepare all inputs for itself: cheaper than waiting for each other.
    static let redundantTokens = 2

    /// Normalised hidden states as matrix inputs, [T, D].
    let model: SharedInput
    /// Attention results as matrix inputs, [T, H * dh].
    let attended: SharedInput
    /// Activated feed-forward values as matrix inputs, [T, F].
    let feedForward: SharedInput
    /// Query, key, value of each token, [T, (H + 2 KVH) * dh].
    let queryKeyValue: AlignedBuffer<Float>
    /// Attention results, [T, H * dh].
    let attention: AlignedBuffer<Float>
    /// silu(gate) * up, [T, F].
    let activated: AlignedBuffer<Float>
    /// Partial results of attention, laid out by ``BatchLayout``; touched only as far as contexts reach.
    let partials: AlignedBuffer<Float>

    init(
        model configuration: ModelConfiguration, layers: [LayerWeights], head: OutputHead?, tokens: Int, threads: Int
    )
        throws
    {
        func forms(_ matrices: [PackedMatrix]) -> ActivationBuffer.Forms {
            matrices.reduce(into: []) { $0.formUnion($1.needs) }
        }
        let queryWidth = configuration.headCount * configuration.headWidth
        let keyValueWidth = configuration.keyValueHeadCount * configuration.headWidth
        let fromModel = layers.flatMap { [$0.queryKeyValue, $0.gateUp] } + (head.map { [$0.projection] } ?? [])
        model = try SharedInput(
            columns: configuration.modelWidth, tokens: tokens, threads: threads, forms: forms(fromModel))
        attended = try SharedInput(
            columns: queryWidth, tokens: tokens, threads: threads, forms: forms(layers.map(\.attentionOutput)))
        feedForward = try SharedInput(
            columns: configuration.feedForwardWidth, tokens: tokens, threads: threads, forms: forms(layers.map(\.down)))
        queryKeyValue = try AlignedBuffer(count: tokens * (queryWidth + 2 * keyValueWidth))
        attention = try AlignedBuffer(count: tokens * queryWidth)
        activated = try AlignedBuffer(count: tokens * configuration.feedForwardWidth)
        partials = try AlignedBuffer(count: threads > 1 ? BatchLayout.partialCapacity : 0)
    }
}

/// Matrix inputs that threads prepare together, or each for itself when the step is small.
struct SharedInput {
    private let shared: ActivationBuffer
    private let own: [ActivationBuffer]
    /// One row per thread for the normalised values before they are stored.
    private let rows: [AlignedBuffer<Float>]

    init(columns: Int, tokens: Int, threads: Int, forms: ActivationBuffer.Forms) throws {
        shared = try ActivationBuffer(columns: columns, capacity: tokens, forms: forms)
        own = try (0..<threads).map { _ in
            try ActivationBuffer(columns: columns, capacity: StageScratch.redundantTokens, forms: forms)
        }
        rows = try (0..<threads).map { _ in try AlignedBuffer(count: columns) }
    }

    /// Inside a pool region: prepares rows 0..<tokens and returns the buffer to multiply from. Ends with all rows
    /// visible to the calling thread.
    ///
    /// - Parameter row: gives the source of a row; it may use the scratch row it is handed.
    func prepare(
        tokens: Int, thread: Int, pool: ThreadPool,
        _ row: (_ token: Int, _ scratch: UnsafeMutablePointer<Float>) -> UnsafePointer<Float>
    ) -> ActivationBuffer {
        if tokens <= StageScratch.redundantTokens {
            for token in 0..<tokens { own[thread].store(row(token, rows[thread].pointer), token: token) }
            return own[thread]
        }
        pool.forEachChunk(of: tokens, chunk: 8) { chunk in
            for token in chunk { shared.store(row(token, rows[thread].pointer), token: token) }
        }
        pool.barrier()
        return shared
    }
}
