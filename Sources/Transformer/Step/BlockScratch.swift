import Kernels

/// Further buffers of a step with latent attention.
final class LatentScratch {
    /// Normalised latents of the queries as matrix inputs; nil where queries are projected directly.
    let queryLatents: SharedInput?
    /// Queries out of their latent, [T, H * (plain + rotary)].
    let rawQueries: AlignedVector
    /// Plain parts of the queries as matrix inputs, [H, T, plain].
    let plainQueries: ActivationBuffer
    /// Queries as attention reads them, [T, H, R + rotary].
    let queries: AlignedVector
    /// Attended latents, [T, H, R].
    let latents: AlignedVector
    /// Attended latents as matrix inputs, [H, T, R].
    let results: ActivationBuffer

    /// nil without latent attention.
    init?(_ layers: [TransformerLayer], model: ModelConfiguration, tokens: Int, threads: Int) throws {
        guard case .latent(let shape) = model.attention else { return nil }
        let layers = layers.compactMap { if case .latent(let block) = $0.attention { block } else { nil } }
        func forms(_ matrices: [Projection]) -> ActivationBuffer.Forms {
            model.inputForms(matrices.reduce(into: []) { $0.formUnion($1.needs) })
        }
        let rows = tokens * shape.headCount
        queryLatents = try shape.queryRank.map {
            try SharedInput(
                columns: $0, tokens: tokens, threads: threads, forms: forms(layers.compactMap(\.queryProjection)))
        }
        rawQueries = try AlignedBuffer(count: shape.queryRank == nil ? 0 : rows * shape.queryHeadWidth)
        plainQueries = try ActivationBuffer(
            columns: shape.plainWidth, capacity: rows, forms: forms(layers.flatMap(\.keyMatrices)))
        queries = try AlignedBuffer(count: rows * shape.cachedWidth)
        latents = try AlignedBuffer(count: rows * shape.latentWidth)
        results = try ActivationBuffer(
            columns: shape.latentWidth, capacity: rows, forms: forms(layers.flatMap(\.valueMatrices)))
    }
}

/// Further buffers of a step with experts. A place is a (token, choice), `P = T * used` of them.
final class ExpertScratch {
    /// [T, E].
    let logits: AlignedVector
    /// What the router needs, for each thread.
    let routing: AlignedVector
    /// [T, used].
    let chosen: AlignedBuffer<Int32>
    /// [T, used].
    let weights: AlignedVector
    /// One for each thread, all equal.
    let plans: [ExpertPlan]
    /// What gate and up leave, [P, F] or [P, 2 F].
    let activated: AlignedVector
    /// [P, F].
    let downInput: ActivationBuffer
    /// Results of the experts, [P, D].
    let output: AlignedVector
    /// What gate and up of the shared block leave.
    let sharedActivated: AlignedVector
    /// [T, F of the shared block]; nil without one.
    let sharedInput: ActivationBuffer?
    /// A row for each thread.
    let rows: [AlignedVector]

    /// nil without experts.
    init?(_ layers: [TransformerLayer], model: ModelConfiguration, tokens: Int, threads: Int) throws {
        let layers = layers.compactMap { if case .experts(let block) = $0.feedForward { block } else { nil } }
        guard let shape = model.experts, !layers.isEmpty else { return nil }
        let modelWidth = model.modelWidth
        let places = tokens * shape.usedCount
        logits = try AlignedBuffer(count: tokens * shape.count)
        routing = try AlignedBuffer(count: threads * ExpertRouter.scratchCount(shape))
        chosen = try AlignedBuffer(count: places)
        weights = try AlignedBuffer(count: places)
        func forms(_ needs: (ExpertFeedForward) -> [ActivationBuffer.Forms]) -> ActivationBuffer.Forms {
            model.inputForms(layers.flatMap(needs).reduce(into: []) { $0.formUnion($1) })
        }
        plans = try (0..<threads).map { _ in
            try ExpertPlan(
                expertCount: shape.count, slots: shape.usedCount, capacity: tokens, columns: modelWidth,
                forms: forms { $0.gateUp.map(\.needs) })
        }
        activated = try AlignedBuffer(
            count: places * (layers.flatMap { $0.gateUp.map(\.outputWidth) }.max() ?? 0))
        downInput = try ActivationBuffer(
            columns: shape.width, capacity: places,
            forms: forms { $0.down.map(\.needs) })
        output = try AlignedBuffer(count: places * modelWidth)
        let shared = layers.compactMap(\.shared)
        sharedActivated = try AlignedBuffer(count: tokens * (shared.map(\.gateUp.outputWidth).max() ?? 0))
        sharedInput =
            shared.isEmpty
            ? nil
            : try ActivationBuffer(
                columns: shape.sharedWidth, capacity: tokens,
                forms: forms { $0.shared.map { [$0.down.needs] } ?? [] })
        rows = try (0..<threads).map { _ in
            try AlignedBuffer(count: max(shape.width, shape.sharedWidth))
        }
    }
}
