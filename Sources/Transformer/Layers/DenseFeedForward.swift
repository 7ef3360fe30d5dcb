import Kernels

/// A gated feed-forward block: hidden += Wdown · (activation(Wgate · x) * (Wup · x)) with x = norm(hidden).
struct DenseFeedForward {
    /// RMS norm before the block, [D].
    let norm: AlignedVector
    let gateUp: GatedProjection
    /// [D, F].
    let down: ResidualProjection

    /// Inside the pool region.
    func run(_ step: StageStep) {
        let (tokens, kernels, output) = (step.tokens, step.kernels, step.scratch.activated.pointer)
        let width = gateUp.outputWidth
        let input = step.normalized(norm)
        step.pool.forEachChunk(of: gateUp.unitCount, chunk: 2) { units in
            gateUp.multiply(input, tokens: 0..<tokens, units: units, into: output, outputStride: width)
        }
        step.pool.barrier()
        guard let feedForward = step.scratch.feedForward else { return }
        let values = feedForward.prepare(tokens: tokens, thread: step.thread, pool: step.pool) { token, row in
            gateUp.activated(output + token * width, scratch: row, kernels: kernels)
        }
        down.add(values, step: step)
    }
}
