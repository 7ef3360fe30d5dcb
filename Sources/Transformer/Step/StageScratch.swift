import InferenceCore
import Kernels

/// The buffers of a step, made once. `T` is the largest step.
final class StageScratch {
    /// Steps up to this many tokens let every thread prepare all inputs for itself: cheaper than waiting for each other.
    static let redundantTokens = 2

    /// Normalised hidden states as matrix inputs, [T, D].
    let model: SharedInput
    /// Attention results as matrix inputs, [T, H * width of a head's result].
    let attended: SharedInput
    /// Activated feed-forward values as matrix inputs, [T, F]; nil without dense layers.
    let feedForward: SharedInput?
    /// What attention projects of each token.
    let projected: AlignedVector
    /// Attention results, [T, H * width of a head's result].
    let attention: AlignedVector
    /// What gate and up leave, [T, F] or [T, 2 F].
    let activated: AlignedVector
    /// A block's result before its norm, [T, D]; empty without post-norms.
    let result: AlignedVector
    /// Partial results of attention, laid out by ``AttentionWork``; touched only as far as contexts reach.
    let partials: AlignedVector

    init(model configuration: ModelConfiguration, needs: StageNeeds, tokens: Int, threads: Int) throws {
        func input(_ columns: Int, _ forms: ActivationBuffer.Forms) throws -> SharedInput {
            try SharedInput(
                columns: columns, tokens: tokens, threads: threads, forms: configuration.inputForms(forms))
        }
        let resultWidth = configuration.attention.resultWidth
        model = try input(configuration.modelWidth, needs.model)
        attended = try input(resultWidth, needs.attended)
        feedForward = needs.denseWidth > 0 ? try input(configuration.feedForwardWidth, needs.feedForward) : nil
        projected = try AlignedBuffer(count: tokens * needs.projectedWidth)
        attention = try AlignedBuffer(count: tokens * resultWidth)
        activated = try AlignedBuffer(count: tokens * needs.denseWidth)
        result = try AlignedBuffer(count: configuration.hasPostNorms ? tokens * configuration.modelWidth : 0)
        partials = try AlignedBuffer(count: threads > 1 ? AttentionWork.partialCapacity : 0)
    }
}

/// What the layers of a stage ask of its buffers.
struct StageNeeds {
    /// Forms of the inputs of that name in ``StageScratch``.
    var model: ActivationBuffer.Forms = []
    var attended: ActivationBuffer.Forms = []
    var feedForward: ActivationBuffer.Forms = []
    /// Most values attention projects of a token.
    var projectedWidth = 0
    /// Most values gate and up leave of a token in dense layers.
    var denseWidth = 0
}

extension ModelConfiguration {
    /// Models up to this wide refine all inputs.
    private static let narrowWidth = 512

    /// Where experts are chosen, inputs are refined throughout: the rounding of 8 bits would flip close choices, and an
    /// expert more or less is a large error. So are those of narrow models, whose rows have too few blocks for some of
    /// them to carry most of the error, and cost little. Decided by the model, not by a stage's layers, so that every cut
    /// gives the same bits.
    func inputForms(_ needed: ActivationBuffer.Forms) -> ActivationBuffer.Forms {
        let refines = experts != nil || modelWidth <= Self.narrowWidth
        return refines && needed.contains(.quantized) ? needed.union(.refined) : needed
    }
}

extension AttentionConfiguration {
    /// Values of all heads' results.
    var resultWidth: Int {
        switch self {
        case .grouped(let grouped): grouped.queryWidth
        case .latent(let latent): latent.headCount * latent.valueWidth
        }
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
