import Kernels

/// What the layers of a stage see of a step, inside the pool region. Made once by each thread.
struct StageStep {
    let pool: ThreadPool
    let kernels: KernelSet
    let scratch: StageScratch
    let layout: BatchLayout
    let blockTables: UnsafePointer<Int32>
    /// [T, D], in place.
    let hidden: UnsafeMutablePointer<Float>
    let tokens: Int
    let thread: Int
    let modelWidth: Int
    let normEpsilon: Float

    /// RMS-normalised hidden states as matrix inputs.
    func normalized(_ weight: AlignedVector) -> ActivationBuffer {
        scratch.model.prepare(tokens: tokens, thread: thread, pool: pool) { token, row in
            kernels.rmsNorm(
                hidden + token * modelWidth, weight: weight.pointer, epsilon: normEpsilon, count: modelWidth, into: row)
            return UnsafePointer(row)
        }
    }

    /// `output = matrix · input` over all threads; does not wait for them.
    func multiply(
        _ matrix: Projection, _ input: ActivationBuffer, into output: UnsafeMutablePointer<Float>, chunk: Int = 2
    ) {
        pool.forEachChunk(of: matrix.panelCount, chunk: chunk) { panels in
            matrix.multiply(
                input, tokens: 0..<tokens, panels: panels, into: output, outputStride: matrix.rows)
        }
    }
}

/// The last matrix of a block: its product is added to the hidden states, after a norm where the model has one there.
struct ResidualProjection {
    let matrix: Projection
    let postNorm: AlignedVector?

    /// hidden += matrix · input; ends with a barrier.
    func add(_ input: ActivationBuffer, step: StageStep) {
        guard let postNorm else {
            let (hidden, tokens, width) = (step.hidden, step.tokens, step.modelWidth)
            step.pool.forEachChunk(of: matrix.panelCount, chunk: 2) { panels in
                matrix.multiply(
                    input, tokens: 0..<tokens, panels: panels, into: hidden, outputStride: width, accumulate: true)
            }
            step.pool.barrier()
            return
        }
        step.multiply(matrix, input, into: step.scratch.result.pointer, chunk: 2)
        step.pool.barrier()
        addNormalized(postNorm, step: step)
        step.pool.barrier()
    }

    private func addNormalized(_ weight: AlignedVector, step: StageStep) {
        let (kernels, width, epsilon) = (step.kernels, step.modelWidth, step.normEpsilon)
        let (result, hidden) = (step.scratch.result.pointer, step.hidden)
        step.pool.forEachChunk(of: step.tokens, chunk: 8) { chunk in
            for token in chunk {
                let row = result + token * width
                kernels.rmsNorm(row, weight: weight.pointer, epsilon: epsilon, count: width, into: row)
                kernels.add(row, to: hidden + token * width, count: width)
            }
        }
    }
}
