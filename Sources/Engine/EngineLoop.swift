import InferenceCore
import Synchronization

/// The step thread's side of an ``InferenceEngine``.
final class EngineLoop {
    private struct Open {
        var request: EngineRequest
        var continuation: AsyncStream<EngineEvent>.Continuation
        var hasStarted = false
        /// Links lost while it was in a step.
        var lossCount = 0
    }

    /// A step that the later stages have not answered.
    private struct Pending {
        var stepID: UInt64
        var start: ContinuousClock.Instant
        var computeDuration = Duration.zero
        var tokens: Int
        var sequences: Int
        var prefillTokens: Int
    }

    /// Internal sequences have ids with this bit, so that they are the youngest and never get in the way.
    private static let heartbeatBit: UInt64 = 1 << 63
    /// A sequence that was in a step so many times when the link was lost may be what loses it.
    private static let maxLossCount = 3

    private let runner: StageRunner
    private let link: (any PipelineLink)?
    private let configuration: EngineConfiguration
    private let mailbox: Mailbox<EngineMessage>
    private let board: InferenceEngine.Board
    private let onStep: @Sendable (StepMetrics) -> Void
    private var scheduler: Scheduler
    private var open: [SequenceID: Open] = [:]
    private var pending: [Pending] = []
    private var messages: [EngineMessage] = []
    private var status = EngineStatus()
    private var stepCost: StepCost
    /// The link's epoch while it is up.
    private var epoch: UInt64?
    private var heartbeat: SequenceID?
    private var heartbeatCount: UInt64 = 0
    private var probe: HeartbeatProbe
    /// While the link is lost: until when sequences wait for it, and why it was lost.
    private var loss: (deadline: ContinuousClock.Instant, error: InferenceError)?
    private var nextHeartbeat = ContinuousClock.now
    /// No open request's deadline is before this.
    private var earliestDeadline: ContinuousClock.Instant?
    private var drainDeadline: ContinuousClock.Instant?

    init(
        runner: StageRunner, link: (any PipelineLink)?, configuration: EngineConfiguration,
        limits: SchedulerConfiguration, mailbox: Mailbox<EngineMessage>, board: InferenceEngine.Board,
        onStep: @escaping @Sendable (StepMetrics) -> Void
    ) {
        self.runner = runner
        self.link = link
        self.configuration = configuration
        self.mailbox = mailbox
        self.board = board
        self.onStep = onStep
        scheduler = Scheduler(configuration: limits)
        stepCost = StepCost(prefillShare: configuration.prefillShare)
        probe = HeartbeatProbe(first: configuration.heartbeatTokenID, vocabularySize: limits.vocabularySize)
        status.kvBlocksTotal = limits.kvBlockCount
    }

    /// Runs until drained or closed.
    func run() {
        while mailbox.take(into: &messages, until: wakeTime()) {
            for message in messages { handle(message) }
            let now = ContinuousClock.now
            expireDeadlines(now)
            checkWatchdog(now)
            checkLoss(now)
            beat(now)
            step()
            publish()
            if let drainDeadline, open.isEmpty || now >= drainDeadline { break }
        }
        mailbox.close()
        link?.stop()
        failEverything(InferenceError(code: .draining, message: "this shard is shutting down"))
        publish()
    }

    /// When to look again without a message.
    private func wakeTime() -> ContinuousClock.Instant? {
        let now = ContinuousClock.now
        // Something can run now: only look.
        if hasRunnableWork { return now }
        var wake = nextHeartbeat
        if epoch == nil, link != nil { wake = now + configuration.heartbeatInterval }
        if heartbeat != nil || !scheduler.isIdle { wake = now + configuration.stepTimeout }
        if let oldest = pending.first { wake = min(wake, oldest.start + configuration.stepTimeout) }
        if let earliestDeadline { wake = min(wake, earliestDeadline) }
        if let loss { wake = min(wake, loss.deadline) }
        if let drainDeadline { wake = min(wake, drainDeadline) }
        return wake
    }

    /// With the local stage alone every step completes at once, so whatever is left can run. With more stages everything
    /// that could be sent has been sent.
    private var hasRunnableWork: Bool {
        link == nil && !scheduler.isIdle
    }

    // MARK: - Messages

    private func handle(_ message: EngineMessage) {
        switch message {
        case .submit(let id, let request, let continuation): submit(id, request, continuation)
        case .cancel(let id): cancel(id)
        case .link(let event): handle(event)
        case .drain(let deadline): drainDeadline = deadline
        }
    }

    private func submit(
        _ id: SequenceID, _ request: EngineRequest, _ continuation: AsyncStream<EngineEvent>.Continuation
    ) {
        open[id] = Open(request: request, continuation: continuation)
        do {
            guard link == nil || epoch != nil else {
                throw InferenceError(code: .shardUnavailable, message: "the next pipeline stage is not linked")
            }
            try scheduler.add(
                id, tenant: request.tenant, promptTokenIDs: request.promptTokenIDs, sampling: request.sampling)
            if let deadline = request.deadline { earliestDeadline = min(deadline, earliestDeadline ?? deadline) }
        } catch let error as InferenceError {
            close(id, with: .failed(error))
        } catch {
            close(id, with: .failed(InferenceError(code: .internalError, message: "the engine failed", cause: error)))
        }
    }

    private func cancel(_ id: SequenceID) {
        guard open[id] != nil else { return }
        scheduler.cancel(id)
        close(id, with: nil)
    }

    private func handle(_ event: PipelineEvent) {
        switch event {
        case .up(let newEpoch):
            if epoch != nil { loseEpoch(InferenceError(code: .shardUnavailable, message: "the pipeline began anew")) }
            epoch = newEpoch
            loss = nil
            nextHeartbeat = .now
        case .results(let resultEpoch, let stepID, let results, let computeMicroseconds):
            guard resultEpoch == epoch else { return }
            status.laterComputeTime += .microseconds(Int64(clamping: computeMicroseconds))
            apply(stepID: stepID, results)
        case .down(let downEpoch, let error):
            if downEpoch == epoch { loseEpoch(error) }
        }
    }

    // MARK: - Steps

    private func step() {
        guard link == nil || epoch != nil else { return }
        while let batch = scheduler.schedule(maxPrefillTokens: stepCost.maxPrefillTokens) {
            let start = ContinuousClock.now
            let shape = Pending(
                stepID: batch.stepID, start: start, tokens: batch.tokenCount, sequences: batch.sequences.count,
                prefillTokens: batch.prefillTokenCount)
            pending.append(shape)
            let output: StageRunner.Output
            do {
                output = try runner.run(batch)
            } catch {
                failStep(batch, error)
                return
            }
            let computeDuration = start.duration(to: .now)
            pending[pending.count - 1].computeDuration = computeDuration
            status.computeTime += computeDuration
            stepCost.note(computeDuration, tokens: shape.tokens, prefillTokens: shape.prefillTokens)
            switch output {
            case .results(let results):
                apply(stepID: batch.stepID, results)
                // One step, then a look at the mailbox: cancellation takes effect within a step.
                return
            case .hidden(let hidden):
                guard let link, let epoch else { return }
                do {
                    try link.send(batch, hidden: hidden, epoch: epoch)
                } catch {
                    abandonEpoch(Self.failure(error, "step \(batch.stepID) could not be sent"))
                    return
                }
            }
        }
    }

    /// This stage cannot run a step: its sequences end. The other stages know nothing of it, and other sequences have
    /// their KV as it was.
    private func failStep(_ batch: StepBatch, _ error: any Error) {
        pending.removeLast()
        let failure = Self.failure(error, "step \(batch.stepID) failed on the first stage")
        for id in scheduler.abandon(batch) {
            if id == heartbeat {
                heartbeat = nil
                nextHeartbeat = .now + configuration.heartbeatInterval
            }
            close(id, with: .failed(failure))
        }
    }

    private static func failure(_ error: any Error, _ what: String) -> InferenceError {
        (error as? InferenceError) ?? InferenceError(code: .internalError, message: what, cause: error)
    }

    private func apply(stepID: UInt64, _ results: [SequenceResult]) {
        do {
            let updates = try scheduler.apply(stepID: stepID, results: results)
            let isProven = results.contains { $0.failure == nil }
            if isProven {
                probe.succeeded()
                status.isBroken = false
            }
            finishPending(stepID, isProven: isProven)
            for update in updates { deliver(update) }
        } catch {
            abandonEpoch(error)
        }
    }

    /// - Parameter isProven: whether the step computed something that is a number.
    private func finishPending(_ stepID: UInt64, isProven: Bool) {
        guard let first = pending.first, first.stepID == stepID else { return }
        pending.removeFirst()
        let now = ContinuousClock.now
        status.steps += 1
        // The stages answer also when a prompt's numbers are broken; that the model can compute, it must have shown once.
        if isProven || status.lastTokenTime != nil { status.lastTokenTime = now }
        nextHeartbeat = now + configuration.heartbeatInterval
        onStep(
            StepMetrics(
                duration: first.start.duration(to: now), computeDuration: first.computeDuration, tokens: first.tokens,
                sequences: first.sequences))
    }

    private func deliver(_ update: SequenceUpdate) {
        if update.sequenceID == heartbeat {
            heartbeat = nil
            if update.failure != nil {
                status.isBroken = probe.failed()
                // The next probe goes at once: somebody may be waiting to learn whether the model is any good.
                if !status.isBroken { nextHeartbeat = .now }
            }
            return
        }
        if let failure = update.failure {
            if failure != .refused { status.notFiniteSequences += 1 }
            close(update.sequenceID, with: .failed(InferenceError(failure)))
            return
        }
        guard let entry = open[update.sequenceID] else { return }
        if !entry.hasStarted {
            open[update.sequenceID]?.hasStarted = true
            status.promptTokens += entry.request.promptTokenIDs.count
            entry.continuation.yield(
                .started(promptLogprobs: update.promptLogprobs, cachedTokens: update.cachedPromptTokens))
        }
        for sampled in update.sampled {
            status.generatedTokens += 1
            entry.continuation.yield(.token(sampled.tokenID, sampled.logprob))
        }
        if let reason = update.finishReason { close(update.sequenceID, with: .finished(reason)) }
    }

    // MARK: - Ends

    /// Ends a request's stream and forgets it; the scheduler knows already.
    private func close(_ id: SequenceID, with event: EngineEvent?) {
        guard let entry = open.removeValue(forKey: id) else { return }
        if let event { entry.continuation.yield(event) }
        entry.continuation.finish()
        board.shared.withLock { $0.openCount -= 1 }
    }

    private func expireDeadlines(_ now: ContinuousClock.Instant) {
        guard let earliest = earliestDeadline, earliest <= now else { return }
        let expired = open.filter { $0.value.request.deadline.map { $0 <= now } ?? false }.map(\.key)
        for id in expired {
            scheduler.cancel(id)
            let error = InferenceError(code: .deadlinePassed, message: "the deadline passed before the last token")
            close(id, with: .failed(error))
        }
        earliestDeadline = open.values.compactMap(\.request.deadline).min()
    }

    private func checkWatchdog(_ now: ContinuousClock.Instant) {
        guard let oldest = pending.first, now >= oldest.start + configuration.stepTimeout else { return }
        abandonEpoch(
            InferenceError(
                code: .shardUnavailable,
                message: "step \(oldest.stepID) was not answered within \(configuration.stepTimeout)"))
    }

    /// Gives up on a link that does not come back.
    private func checkLoss(_ now: ContinuousClock.Instant) {
        guard let loss, now >= loss.deadline else { return }
        self.loss = nil
        failEverything(loss.error)
    }

    /// Ends the epoch from this side.
    private func abandonEpoch(_ error: InferenceError) {
        if let epoch { link?.invalidate(epoch: epoch, reason: error) }
        loseEpoch(error)
    }

    /// The stages' KV is lost, or out of step with the scheduler: sequences wait for the stages to come back and are then
    /// computed again from their tokens, which changes no token to come. They wait for `relinkTimeout` at most, and none
    /// longer than its deadline.
    private func loseEpoch(_ error: InferenceError) {
        epoch = nil
        if let heartbeat { scheduler.cancel(heartbeat) }
        heartbeat = nil
        let interrupted = scheduler.running.filter { $0.stepInFlight != nil && open[$0.id] != nil }.map(\.id)
        scheduler.requeueAll()
        pending.removeAll()
        runner.reset()
        nextHeartbeat = .now + configuration.heartbeatInterval
        status.requeuedSequences += interrupted.count
        for id in interrupted { noteLoss(id, error) }
        guard link != nil else { return }
        if configuration.relinkTimeout == .zero {
            failEverything(error)
        } else {
            loss = (.now + configuration.relinkTimeout, error)
        }
    }

    /// A sequence must not lose the link for the others for ever.
    private func noteLoss(_ id: SequenceID, _ error: InferenceError) {
        open[id]?.lossCount += 1
        guard let entry = open[id], entry.lossCount > Self.maxLossCount else { return }
        scheduler.cancel(id)
        close(id, with: .failed(error))
    }

    private func failEverything(_ error: InferenceError) {
        _ = scheduler.failAll()
        pending.removeAll()
        heartbeat = nil
        earliestDeadline = nil
        for id in open.keys.sorted() { close(id, with: .failed(error)) }
    }

    // MARK: - Liveness

    /// Sends one token through all stages when nothing else does.
    private func beat(_ now: ContinuousClock.Instant) {
        guard heartbeat == nil, now >= nextHeartbeat, scheduler.isIdle, drainDeadline == nil else { return }
        guard link == nil || epoch != nil else { return }
        heartbeatCount += 1
        let id = SequenceID(rawValue: Self.heartbeatBit | heartbeatCount)
        let sampling = SamplingParameters(maxTokens: 1, temperature: 0)
        do {
            try scheduler.add(
                id, tenant: "", promptTokenIDs: [probe.tokenID], sampling: sampling)
            heartbeat = id
        } catch {
            // An idle scheduler takes a one-token request; not doing so shows as a missing heartbeat.
            nextHeartbeat = now + configuration.heartbeatInterval
        }
    }

    private func publish() {
        status.isLinked = link == nil || epoch != nil
        status.runningSequences = scheduler.running.count
        status.waitingSequences = scheduler.waitingCount
        status.kvBlocksUsed = scheduler.blocks.usedBlockCount
        status.preemptions = scheduler.preemptionCount
        status.kvBlocksCached = scheduler.blocks.cachedBlockCount
        status.prefixQueryTokens = scheduler.prefixQueryTokens
        status.prefixHitTokens = scheduler.prefixHitTokens
        status.draftedTokens = scheduler.draftedTokens
        status.acceptedTokens = scheduler.acceptedTokens
        board.shared.withLock { $0.status = status }
    }
}
