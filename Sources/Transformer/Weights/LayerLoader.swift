import InferenceCore
import Kernels
import ModelFiles
import Tensors

/// Reads and packs the weights of layers.
struct LayerLoader {
    let weights: ModelWeights
    /// Whether all weights become f32.
    let exact: Bool
    let pool: ThreadPool

    var model: ModelConfiguration { weights.model }

    /// Reads and packs layer `index`.
    ///
    /// - Parameters:
    ///   - resources: what it shares with the stage's other layers.
    /// - Throws: `ModelFileError` for a missing tensor; ``InferenceError`` `unsupportedModel` for a wrong shape or a type
    ///   the kernels do not know; `KernelError` when there is no memory.
    func layer(_ index: Int, _ resources: StageResources) throws -> TransformerLayer {
        try packing("layer \(index)") {
            let attention: TransformerLayer.Attention
            switch model.attention {
            case .grouped(let shape): attention = .grouped(try grouped(index, shape, resources))
            case .latent(let shape): attention = .latent(try latent(index, shape, resources))
            }
            let feedForward: TransformerLayer.FeedForward
            if model.hasExperts(layer: index), let experts = model.experts {
                feedForward = .experts(try expertFeedForward(index, experts))
            } else {
                feedForward = .dense(try denseFeedForward(index))
            }
            return TransformerLayer(attention: attention, feedForward: feedForward)
        }
    }

    /// Runs `body`, telling what is wrong with a model that the kernels refuse.
    func packing<T>(_ what: String, _ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let error as KernelError where error.code != .resourceExhausted {
            throw InferenceError(code: .unsupportedModel, message: "\(what): \(error.message)", cause: error)
        }
    }

    // MARK: - Blocks

    private func grouped(
        _ index: Int, _ shape: GroupedAttentionConfiguration, _ resources: StageResources
    ) throws -> GroupedAttention {
        guard case .grouped(let cache) = resources.cache else { preconditionFailure("a cache of another kind") }
        let width = model.modelWidth
        let parts = [("attn_q", shape.queryWidth), ("attn_k", shape.keyValueWidth), ("attn_v", shape.keyValueWidth)]
        return GroupedAttention(
            shape: shape, cacheLayer: index - resources.firstLayer, cache: cache,
            rotary: resources.rotary[model.layers[index].rotaryIndex], workIndex: resources.workIndex(index, model),
            norm: try weights.norm(TensorName.layer(index, "attn_norm"), count: width),
            projection: try projection(parts.map { try matrix(index, $0.0, $0.1, width) }),
            bias: shape.hasBias
                ? try concatenated(parts.map { try weights.vector(TensorName.bias(index, $0.0), count: $0.1) }) : nil,
            queryNorm: shape.hasQueryKeyNorm ? try norm(index, "attn_q_norm", shape.headWidth) : nil,
            keyNorm: shape.hasQueryKeyNorm ? try norm(index, "attn_k_norm", shape.headWidth) : nil,
            output: try residual(index, "attn_output", columns: shape.queryWidth, postNorm: "post_attention_norm"))
    }

    private func latent(
        _ index: Int, _ shape: LatentAttentionConfiguration, _ resources: StageResources
    ) throws -> LatentAttention {
        guard case .latent(let cache) = resources.cache else { preconditionFailure("a cache of another kind") }
        let width = model.modelWidth
        let queryWidth = shape.headCount * shape.queryHeadWidth
        let query = try shape.queryRank.map { try matrix(index, "attn_q_a", $0, width) }
        let heads = try LatentMatrices(loader: self, layer: index, shape: shape)
        return LatentAttention(
            shape: shape, cacheLayer: index - resources.firstLayer, cache: cache,
            rotary: resources.rotary[model.layers[index].rotaryIndex], workIndex: resources.workIndex(index, model),
            norm: try norm(index, "attn_norm", width),
            projection: try projection([
                query ?? matrix(index, "attn_q", queryWidth, width),
                matrix(index, "attn_kv_a_mqa", shape.cachedWidth, width),
            ]),
            queryNorm: try shape.queryRank.map { try norm(index, "attn_q_a_norm", $0) },
            queryProjection: try shape.queryRank.map {
                try projection([matrix(index, "attn_q_b", queryWidth, $0)])
            },
            latentNorm: try norm(index, "attn_kv_a_norm", shape.latentWidth),
            keyMatrices: heads.keys, valueMatrices: heads.values,
            output: try residual(
                index, "attn_output", columns: shape.headCount * shape.valueWidth, postNorm: "post_attention_norm"))
    }

    private func denseFeedForward(_ index: Int) throws -> DenseFeedForward {
        let (width, inner) = (model.modelWidth, model.feedForwardWidth)
        return DenseFeedForward(
            norm: try norm(index, "ffn_norm", width),
            gateUp: try gated(
                matrix(index, "ffn_gate", inner, width), matrix(index, "ffn_up", inner, width)),
            down: try residual(index, "ffn_down", columns: inner, postNorm: "post_ffw_norm"))
    }

    private func expertFeedForward(_ index: Int, _ shape: ExpertConfiguration) throws -> ExpertFeedForward {
        let width = model.modelWidth
        func expert(_ part: String, _ number: Int, _ rows: Int, _ columns: Int) throws -> TensorView {
            try weights.expert(
                TensorName.layer(index, part), number, of: shape.count, shape: [rows, columns])
        }
        let router = try matrix(index, "ffn_gate_inp", shape.count, width)
        return ExpertFeedForward(
            shape: shape, norm: try norm(index, "ffn_norm", width),
            // The choice is made in f32 whatever the weights are.
            routerMatrix: try Projection([router], exact: true, pool: pool),
            router: ExpertRouter(
                shape: shape,
                choiceBias: shape.hasChoiceBias
                    ? try weights.vector("blk.\(index).exp_probs_b.bias", count: shape.count) : nil),
            gateUp: try (0..<shape.count).map {
                try gated(
                    expert("ffn_gate_exps", $0, shape.width, width), expert("ffn_up_exps", $0, shape.width, width))
            },
            down: try (0..<shape.count).map {
                try projection([expert("ffn_down_exps", $0, width, shape.width)])
            },
            shared: shape.sharedWidth == 0 ? nil : try shared(index, shape.sharedWidth))
    }

    private func shared(_ index: Int, _ inner: Int) throws -> (gateUp: GatedProjection, down: Projection) {
        let width = model.modelWidth
        return (
            try gated(matrix(index, "ffn_gate_shexp", inner, width), matrix(index, "ffn_up_shexp", inner, width)),
            try projection([matrix(index, "ffn_down_shexp", width, inner)])
        )
    }

    // MARK: - Parts

    func matrix(_ index: Int, _ part: String, _ rows: Int, _ columns: Int) throws -> TensorView {
        try weights.tensor(TensorName.layer(index, part), shape: [rows, columns])
    }

    private func norm(_ index: Int, _ part: String, _ count: Int) throws -> AlignedVector {
        try weights.norm(TensorName.layer(index, part), count: count)
    }

    func projection(_ views: [TensorView]) throws -> Projection {
        try Projection(views, exact: exact, pool: pool)
    }

    private func gated(_ gate: TensorView, _ up: TensorView) throws -> GatedProjection {
        try GatedProjection(gate: gate, up: up, activation: model.activation, exact: exact, pool: pool)
    }

    private func residual(_ index: Int, _ part: String, columns: Int, postNorm: String) throws -> ResidualProjection {
        ResidualProjection(
            matrix: try projection([matrix(index, part, model.modelWidth, columns)]),
            postNorm: model.hasPostNorms ? try norm(index, postNorm, model.modelWidth) : nil)
    }

    private func concatenated(_ vectors: [AlignedVector]) throws -> AlignedVector {
        let result = try AlignedBuffer<Float>(count: vectors.reduce(0) { $0 + $1.count })
        var offset = 0
        for vector in vectors {
            (result.pointer + offset).update(from: vector.pointer, count: vector.count)
            offset += vector.count
        }
        return result
    }
}
