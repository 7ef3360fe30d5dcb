import Kernels

/// Further buffers of a step with latent attention.
struct LatentScratch {
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
            matrices.reduce(into: []) { $0.formUnion($1.needs) }
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
struct ExpertScratch {
    /// [T, E].
    let logits: AlignedVector
    /// What the router needs, for each thread.
    let routing: AlignedVector
    /// [T, used].
    let chosen: AlignedBuffer<Int32>
    /// [T, used].
    let weights: AlignedVector
    /// One for each thread, all equal.
    let plans: Plans
    /// [P, D].
    let input: ActivationBuffer
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
        plans = Plans((0..<threads).map { _ in ExpertPlan(tokens: tokens, shape: shape) })
        input = try ActivationBuffer(
            columns: modelWidth, capacity: places,
            forms: layers.reduce(into: []) { forms, layer in layer.gateUp.forEach { forms.formUnion($0.needs) } })
        activated = try AlignedBuffer(
            count: places * (layers.flatMap { $0.gateUp.map(\.outputWidth) }.max() ?? 0))
        downInput = try ActivationBuffer(
            columns: shape.width, capacity: places,
            forms: layers.reduce(into: []) { forms, layer in layer.down.forEach { forms.formUnion($0.needs) } })
        output = try AlignedBuffer(count: places * modelWidth)
        let shared = layers.compactMap(\.shared)
        sharedActivated = try AlignedBuffer(count: tokens * (shared.map(\.gateUp.outputWidth).max() ?? 0))
        sharedInput =
            shared.isEmpty
            ? nil
            : try ActivationBuffer(
                columns: shape.sharedWidth, capacity: tokens,
                forms: shared.reduce(into: []) { $0.formUnion($1.down.needs) })
        rows = try (0..<threads).map { _ in
            try AlignedBuffer(count: max(modelWidth, shape.width, shape.sharedWidth))
        }
    }

    /// The threads' plans in memory of their own, so that no thread's writing is another's copy.
    final class Plans {
        let pointer: UnsafeMutablePointer<ExpertPlan>
        private let count: Int

        init(_ plans: [ExpertPlan]) {
            count = plans.count
            pointer = .allocate(capacity: plans.count)
            pointer.initialize(from: plans, count: plans.count)
        }

        deinit {
            pointer.deinitialize(count: count)
            pointer.deallocate()
        }
    }
}
