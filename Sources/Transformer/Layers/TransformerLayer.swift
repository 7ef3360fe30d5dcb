import Kernels

/// One layer: attention, then a feed-forward block, each added to the hidden states.
struct TransformerLayer {
    enum Attention {
        case grouped(GroupedAttention)
        case latent(LatentAttention)
    }

    enum FeedForward {
        case dense(DenseFeedForward)
        case experts(ExpertFeedForward)
    }

    let attention: Attention
    let feedForward: FeedForward

    /// Bytes of weights, packed.
    var byteCount: Int {
        let attentionBytes =
            switch attention {
            case .grouped(let block): block.byteCount
            case .latent(let block): block.byteCount
            }
        let feedForwardBytes =
            switch feedForward {
            case .dense(let block): block.byteCount
            case .experts(let block): block.byteCount
            }
        return attentionBytes + feedForwardBytes
    }

    /// Adds what this layer asks of the stage's buffers.
    func addNeeds(to needs: inout StageNeeds) {
        switch attention {
        case .grouped(let block):
            needs.model.formUnion(block.projection.needs)
            needs.attended.formUnion(block.output.matrix.needs)
            needs.projectedWidth = max(needs.projectedWidth, block.projection.rows)
        case .latent(let block):
            needs.model.formUnion(block.projection.needs)
            needs.attended.formUnion(block.output.matrix.needs)
            needs.projectedWidth = max(needs.projectedWidth, block.projection.rows)
        }
        switch feedForward {
        case .dense(let block):
            needs.model.formUnion(block.gateUp.needs)
            needs.feedForward.formUnion(block.down.matrix.needs)
            needs.denseWidth = max(needs.denseWidth, block.gateUp.outputWidth)
        case .experts(let block):
            needs.model.formUnion(block.routerMatrix.needs)
            for gateUp in block.gateUp { needs.model.formUnion(gateUp.needs) }
            if let shared = block.shared { needs.model.formUnion(shared.gateUp.needs) }
        }
    }
}

extension GroupedAttention {
    var byteCount: Int {
        let vectors = [norm, bias, queryNorm, keyNorm, output.postNorm]
        return projection.byteCount + output.matrix.byteCount + vectors.byteCount
    }
}

extension LatentAttention {
    var byteCount: Int {
        let matrices = [projection, queryProjection, output.matrix].compactMap { $0 } + keyMatrices + valueMatrices
        return matrices.reduce(0) { $0 + $1.byteCount } + [norm, queryNorm, latentNorm, output.postNorm].byteCount
    }
}

extension DenseFeedForward {
    var byteCount: Int { gateUp.byteCount + down.matrix.byteCount + [norm, down.postNorm].byteCount }
}

extension ExpertFeedForward {
    var byteCount: Int {
        let shared = shared.map { $0.gateUp.byteCount + $0.down.byteCount } ?? 0
        return routerMatrix.byteCount + gateUp.reduce(0) { $0 + $1.byteCount } + down.reduce(0) { $0 + $1.byteCount }
            + shared + [norm, router.choiceBias].byteCount
    }
}

extension [AlignedVector?] {
    fileprivate var byteCount: Int { reduce(0) { $0 + ($1?.count ?? 0) * MemoryLayout<Float>.stride } }
}
