import Kernels

/// A mixture of experts: hidden += Σ weight · expert(x) + shared(x) with x = norm(hidden).
///
/// Tokens are sorted by expert, so that an expert's weights are read once for all its tokens. A token's results are
/// added in the order its experts were chosen, whatever else is in the step.
struct ExpertFeedForward {
    let shape: ExpertConfiguration
    /// RMS norm before the block, [D].
    let norm: AlignedVector
    /// f32, [E, D].
    let routerMatrix: Projection
    let router: ExpertRouter
    let gateUp: [GatedProjection]
    /// [D, F] each.
    let down: [Projection]
    let shared: (gateUp: GatedProjection, down: Projection)?

    /// Inside the pool region.
    func run(_ step: StageStep, _ scratch: ExpertScratch) {
        routeAndShare(step, scratch, step.normalized(norm))
        step.pool.barrier()
        choose(step, scratch)
        step.pool.barrier()
        let plan = scratch.plans.pointer + step.thread
        plan.pointee.fill(scratch.chosen.pointer, count: step.tokens * shape.usedCount)
        gather(step, scratch, plan.pointee)
        step.pool.barrier()
        runExperts(step, scratch, plan.pointee)
        step.pool.barrier()
        storeActivated(step, scratch)
        step.pool.barrier()
        projectDown(step, scratch, plan.pointee)
        step.pool.barrier()
        addResults(step, scratch, plan.pointee)
        step.pool.barrier()
    }

    /// The router's logits and, with the same claims, the first half of the shared block.
    private func routeAndShare(_ step: StageStep, _ scratch: ExpertScratch, _ input: ActivationBuffer) {
        let (tokens, routerItems) = (step.tokens, routerMatrix.panelCount)
        let units = shared?.gateUp.unitCount ?? 0
        let sharedItems = (units + Self.unitChunk - 1) / Self.unitChunk
        step.pool.forEachChunk(of: routerItems + sharedItems, chunk: 1) { items in
            for item in items {
                guard item >= routerItems, let gateUp = shared?.gateUp else {
                    routerMatrix.multiply(
                        input, tokens: 0..<tokens, panels: item..<item + 1, into: scratch.logits.pointer,
                        outputStride: shape.count)
                    continue
                }
                let first = (item - routerItems) * Self.unitChunk
                gateUp.multiply(
                    input, tokens: 0..<tokens, units: first..<min(first + Self.unitChunk, units),
                    into: scratch.sharedActivated.pointer, outputStride: gateUp.outputWidth)
            }
        }
    }

    private func choose(_ step: StageStep, _ scratch: ExpertScratch) {
        let used = shape.usedCount
        step.pool.forEachChunk(of: step.tokens, chunk: 4) { chunk in
            for token in chunk {
                router.choose(
                    scratch.logits.pointer + token * shape.count,
                    scratch: scratch.routing.pointer + step.thread * ExpertRouter.scratchCount(shape),
                    experts: scratch.chosen.pointer + token * used, weights: scratch.weights.pointer + token * used,
                    kernels: step.kernels)
            }
        }
    }

    /// Normalised hidden states to the places of their experts, and the shared block's activations to its input.
    private func gather(_ step: StageStep, _ scratch: ExpertScratch, _ plan: ExpertPlan) {
        let row = scratch.rows[step.thread].pointer
        step.pool.forEachChunk(of: step.tokens, chunk: 4) { chunk in
            for token in chunk {
                step.kernels.rmsNorm(
                    step.hidden + token * step.modelWidth, weight: norm.pointer, epsilon: step.normEpsilon,
                    count: step.modelWidth, into: row)
                for choice in token * shape.usedCount..<(token + 1) * shape.usedCount {
                    scratch.input.store(row, token: Int(plan.places[choice]))
                }
                guard let shared, let sharedInput = scratch.sharedInput else { continue }
                let activated = scratch.sharedActivated.pointer + token * shared.gateUp.outputWidth
                sharedInput.store(
                    shared.gateUp.activated(activated, scratch: row, kernels: step.kernels), token: token)
            }
        }
    }

    /// Gate and up of the chosen experts; then, with the same claims, the shared block's second half.
    private func runExperts(_ step: StageStep, _ scratch: ExpertScratch, _ plan: ExpertPlan) {
        let (units, width) = (gateUp[0].unitCount, gateUp[0].outputWidth)
        let perExpert = (units + Self.unitChunk - 1) / Self.unitChunk
        let expertItems = plan.active.count * perExpert
        let sharedPanels = shared?.down.panelCount ?? 0
        let sharedItems = (sharedPanels + Self.panelChunk - 1) / Self.panelChunk
        step.pool.forEachChunk(of: expertItems + sharedItems, chunk: 1) { items in
            for item in items {
                guard item < expertItems else {
                    let first = (item - expertItems) * Self.panelChunk
                    addShared(step, scratch, panels: first..<min(first + Self.panelChunk, sharedPanels))
                    continue
                }
                let expert = Int(plan.active[item / perExpert])
                let first = item % perExpert * Self.unitChunk
                gateUp[expert].multiply(
                    scratch.input, tokens: plan.places(of: expert), units: first..<min(first + Self.unitChunk, units),
                    into: scratch.activated.pointer, outputStride: width)
            }
        }
    }

    private static let unitChunk = 4
    private static let panelChunk = 4

    private func addShared(_ step: StageStep, _ scratch: ExpertScratch, panels: Range<Int>) {
        guard let shared, let sharedInput = scratch.sharedInput else { return }
        shared.down.multiply(
            sharedInput, tokens: 0..<step.tokens, panels: panels, into: step.hidden, outputStride: step.modelWidth,
            accumulate: true)
    }

    private func storeActivated(_ step: StageStep, _ scratch: ExpertScratch) {
        let width = gateUp[0].outputWidth
        let row = scratch.rows[step.thread].pointer
        step.pool.forEachChunk(of: step.tokens * shape.usedCount, chunk: 8) { chunk in
            for place in chunk {
                // All experts have one form.
                let values = gateUp[0].activated(
                    scratch.activated.pointer + place * width, scratch: row, kernels: step.kernels)
                scratch.downInput.store(values, token: place)
            }
        }
    }

    private func projectDown(_ step: StageStep, _ scratch: ExpertScratch, _ plan: ExpertPlan) {
        let panels = down[0].panelCount
        let perExpert = (panels + Self.panelChunk - 1) / Self.panelChunk
        step.pool.forEachChunk(of: plan.active.count * perExpert, chunk: 1) { items in
            for item in items {
                let expert = Int(plan.active[item / perExpert])
                let first = item % perExpert * Self.panelChunk
                down[expert].multiply(
                    scratch.downInput, tokens: plan.places(of: expert),
                    panels: first..<min(first + Self.panelChunk, panels), into: scratch.output.pointer,
                    outputStride: step.modelWidth)
            }
        }
    }

    private func addResults(_ step: StageStep, _ scratch: ExpertScratch, _ plan: ExpertPlan) {
        let width = step.modelWidth
        step.pool.forEachChunk(of: step.tokens, chunk: 2) { chunk in
            for token in chunk {
                let row = step.hidden + token * width
                for choice in token * shape.usedCount..<(token + 1) * shape.usedCount {
                    let values = scratch.output.pointer + Int(plan.places[choice]) * width
                    let weight = scratch.weights[choice]
                    for index in 0..<width { row[index] += weight * values[index] }
                }
            }
        }
    }
}
