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
        let input = step.normalized(norm)
        routeAndShare(step, scratch, input)
        step.pool.barrier()
        choose(step, scratch)
        step.pool.barrier()
        let plan = scratch.plans[step.thread]
        plan.assign(scratch.chosen.pointer, tokens: step.tokens)
        multiplyExperts(step, scratch, plan, input)
        step.pool.barrier()
        storeActivated(step, scratch, plan)
        step.pool.barrier()
        projectDown(step, scratch, plan)
        step.pool.barrier()
        addResults(step, scratch, plan)
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

    /// Chooses each token's experts, and makes the shared block's activations its second half's input.
    private func choose(_ step: StageStep, _ scratch: ExpertScratch) {
        let used = shape.usedCount
        step.pool.forEachChunk(of: step.tokens, chunk: 4) { chunk in
            for token in chunk {
                router.choose(
                    scratch.logits.pointer + token * shape.count,
                    scratch: scratch.routing.pointer + step.thread * ExpertRouter.scratchCount(shape),
                    experts: scratch.chosen.pointer + token * used, weights: scratch.weights.pointer + token * used,
                    kernels: step.kernels)
                guard let shared, let sharedInput = scratch.sharedInput else { continue }
                let activated = scratch.sharedActivated.pointer + token * shared.gateUp.outputWidth
                let row = scratch.rows[step.thread].pointer
                sharedInput.store(
                    shared.gateUp.activated(activated, scratch: row, kernels: step.kernels), token: token)
            }
        }
    }

    /// Gate and up of the chosen experts.
    private func multiplyExperts(
        _ step: StageStep, _ scratch: ExpertScratch, _ plan: ExpertPlan, _ input: ActivationBuffer
    ) {
        let (units, width) = (gateUp[0].unitCount, gateUp[0].outputWidth)
        step.pool.forEachChunk(of: plan.itemCount(panels: units, chunk: Self.unitChunk), chunk: 1) { items in
            for index in items {
                let (block, range) = plan.item(index, panels: units, chunk: Self.unitChunk)
                let (rows, tokens) = plan.inputs(of: block, from: input)
                // Output row 0 is that of input row 0.
                gateUp[block.expert].multiply(
                    rows, tokens: tokens, units: range,
                    into: scratch.activated.pointer + (block.rows.lowerBound - tokens.lowerBound) * width,
                    outputStride: width)
            }
        }
    }

    private static let unitChunk = 4
    private static let panelChunk = 4

    private func storeActivated(_ step: StageStep, _ scratch: ExpertScratch, _ plan: ExpertPlan) {
        let width = gateUp[0].outputWidth
        let row = scratch.rows[step.thread].pointer
        step.pool.forEachChunk(of: plan.rowCount, chunk: 8) { chunk in
            for place in chunk {
                // All experts have one form.
                let values = gateUp[0].activated(
                    scratch.activated.pointer + place * width, scratch: row, kernels: step.kernels)
                scratch.downInput.store(values, token: place)
            }
        }
    }

    /// The second half of the chosen experts and, with the same claims, of the shared block.
    private func projectDown(_ step: StageStep, _ scratch: ExpertScratch, _ plan: ExpertPlan) {
        let panels = down[0].panelCount
        let expertItems = plan.itemCount(panels: panels, chunk: Self.panelChunk)
        let sharedPanels = shared?.down.panelCount ?? 0
        let sharedItems = (sharedPanels + Self.panelChunk - 1) / Self.panelChunk
        step.pool.forEachChunk(of: expertItems + sharedItems, chunk: 1) { items in
            for index in items {
                guard index < expertItems else {
                    let first = (index - expertItems) * Self.panelChunk
                    addShared(step, scratch, panels: first..<min(first + Self.panelChunk, sharedPanels))
                    continue
                }
                let (block, range) = plan.item(index, panels: panels, chunk: Self.panelChunk)
                down[block.expert].multiply(
                    scratch.downInput, tokens: block.rows, panels: range, into: scratch.output.pointer,
                    outputStride: step.modelWidth)
            }
        }
    }

    private func addShared(_ step: StageStep, _ scratch: ExpertScratch, panels: Range<Int>) {
        guard let shared, let sharedInput = scratch.sharedInput else { return }
        shared.down.multiply(
            sharedInput, tokens: 0..<step.tokens, panels: panels, into: step.hidden, outputStride: step.modelWidth,
            accumulate: true)
    }

    private func addResults(_ step: StageStep, _ scratch: ExpertScratch, _ plan: ExpertPlan) {
        let width = step.modelWidth
        step.pool.forEachChunk(of: step.tokens, chunk: 2) { chunk in
            for token in chunk {
                for slot in 0..<shape.usedCount {
                    step.kernels.addScaled(
                        scratch.output.pointer + plan.row(token: token, slot: slot) * width,
                        scale: scratch.weights[token * shape.usedCount + slot], to: step.hidden + token * width,
                        count: width)
                }
            }
        }
    }
}
