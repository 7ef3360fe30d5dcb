import Engine
import InferenceCore
import Logging
import NIOCore
import Synchronization
import Wire
import WireProtocols

/// One loaded model on a stage after the first: answers `fathom.shard.v1.Pipeline` for it, see ``StageHost``.
///
/// `Join` joins the stages behind first, so that a link is up end to end or not at all. `Run` hands each step from the
/// event loop to the compute thread; that thread passes hidden states on, or samples and answers. Answers of later
/// stages go back on the event loop they arrive on.
package final class StageService: Sendable {
    private struct State {
        /// Counts joins; a join that finds it changed was overtaken.
        var joinCount: UInt64 = 0
        var isJoined = false
        /// When, and what keeps the model loaded from then on.
        var joinedAt = ContinuousClock.now
        var lease: ModelLease<StageModel>?
        var downstream: Downstream?
        /// The stream of steps, and which one it is.
        var upstream: RawServerStream?
        var epoch: UInt64 = 0
        /// Compute times of steps that later stages have not answered, oldest first.
        var computeTimes: [(stepID: UInt64, microseconds: UInt64)] = []

        mutating func join(_ lease: ModelLease<StageModel>) {
            isJoined = true
            joinedAt = .now
            self.lease = lease
        }
    }

    /// A join that no stream of steps follows for this long is void.
    private static let streamPatience = Duration.seconds(10)

    private let worker: StageWorker
    private let plan: StagePlan
    private let nextPlan: StagePlan
    private let layers: Range<Int>
    private let weightByteCount: Int
    private let next: WireClient?
    private let group: ReplicaGroup
    private let onStep: @Sendable (StepMetrics) -> Void
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameters:
    ///   - stage: handed over to the compute thread.
    ///   - plan: this stage as it is.
    ///   - next: client to the next stage; nil on the last. Closed when `run` ends.
    ///   - onStep: called on the compute thread after each step; must not block.
    package init(
        stage: sending any ModelStage, plan: StagePlan, next: WireClient?, group: ReplicaGroup, logger: Logger,
        onStep: @escaping @Sendable (StepMetrics) -> Void = { _ in }
    ) {
        self.plan = plan
        nextPlan = plan.next(layerEnd: stage.layerRange.upperBound)
        layers = stage.layerRange
        weightByteCount = stage.weightByteCount
        self.next = next
        self.group = group
        self.onStep = onStep
        self.logger = logger
        worker = StageWorker(stage: stage)
    }

    /// Whether the stage before has joined.
    package var isJoined: Bool { state.withLock(\.isJoined) }

    /// Whether there is a stream of steps.
    var isRunning: Bool { state.withLock { $0.upstream != nil } }

    /// Ends the stream of steps.
    func end() {
        endEpoch(RPCError(.unavailable, "stage \(plan.stageIndex) is shutting down"))
    }

    /// Ends everything; the stage's memory and threads are given back when this returns.
    func stop() async {
        end()
        await worker.shutdown()
        await next?.close()
    }

    /// Ends a join that came to nothing.
    func expire(now: ContinuousClock.Instant) {
        let isVoid = state.withLock {
            $0.isJoined && $0.upstream == nil && $0.joinedAt.duration(to: now) > Self.streamPatience
        }
        if isVoid { endEpoch(RPCError(.cancelled, "no stream of steps followed the join")) }
    }

    // MARK: - Join

    /// - Parameter lease: kept until the stream of steps has ended; the caller ends it when this throws.
    package func join(
        _ asked: StagePlan, lease: ModelLease<StageModel>
    ) async throws -> Fathom_Shard_V1_JoinResponse {
        try plan.check(fits: asked)
        endEpoch(RPCError(.aborted, "stage \(plan.stageIndex) was joined again"))
        let join = state.withLock { state in
            state.joinCount += 1
            return state.joinCount
        }
        if let next {
            let downstream = try await Downstream.connect(next, plan: nextPlan) { [self] message in
                passBack(message, join: join)
            } onClosed: { [self] _ in
                lostDownstream(join: join)
            }
            group.linked(to: downstream.stages)
            let isCurrent = state.withLock { state in
                guard state.joinCount == join else { return false }
                state.downstream = downstream
                state.join(lease)
                return true
            }
            guard isCurrent else {
                downstream.cancel()
                throw RPCError(.aborted, "another join came in between")
            }
        } else {
            state.withLock { $0.join(lease) }
        }
        logger.info(
            "Joined",
            metadata: ["stage.index": "\(plan.stageIndex)", "model": "\(plan.modelName)", "layers": "\(layers)"])
        var response = Fathom_Shard_V1_JoinResponse()
        response.layerStart = UInt32(layers.lowerBound)
        response.layerEnd = UInt32(layers.upperBound)
        response.weightBytes = UInt64(weightByteCount)
        response.stages = group.stages
        return response
    }

    /// Ends the stream of steps in both directions; a new join is needed.
    private func endEpoch(_ reason: RPCError) {
        let (upstream, downstream, lease) = state.withLock { state in
            defer {
                state.upstream = nil
                state.downstream = nil
                state.lease = nil
                state.isJoined = false
                state.computeTimes.removeAll()
                state.joinCount += 1
                state.epoch += 1
            }
            return (state.upstream, state.downstream, state.lease)
        }
        upstream?.cancel(reason)
        downstream?.cancel()
        lease?.release()
    }

    private func lostDownstream(join: UInt64) {
        let isCurrent = state.withLock { state in
            // Also stops a join that has not got its stream yet.
            if state.joinCount == join, state.downstream == nil { state.joinCount += 1 }
            return state.joinCount == join
        }
        guard isCurrent else { return }
        group.unlinked()
        endEpoch(RPCError(.unavailable, "pipeline stage \(nextPlan.stageIndex) is gone"))
    }

    // MARK: - Run

    /// A new stream of steps, on the event loop.
    package func open(_ stream: RawServerStream) -> @Sendable (RawStreamEvent) -> Void {
        let epoch = state.withLock { state -> UInt64? in
            // One stream for each join: only a join makes the stages behind forget as well.
            guard state.isJoined, state.upstream == nil else { return nil }
            state.upstream = stream
            state.epoch += 1
            return state.epoch
        }
        guard let epoch else {
            stream.cancel(RPCError(.failedPrecondition, "stage \(plan.stageIndex) must be joined first"))
            return { _ in }
        }
        // The samplers of the epoch before are of no use.
        if !worker.submit({ $0.reset() }) { overrun() }
        return { [self] event in
            switch event {
            case .message(let message, let attachment):
                let queued = worker.submit { [self] runner in
                    compute(runner, message, attachment: attachment, epoch: epoch)
                }
                if !queued { overrun() }
            case .halfClosed: break
            case .closed:
                if state.withLock({ $0.epoch == epoch }) { endEpoch(RPCError(.cancelled, "the stream of steps ended")) }
            }
        }
    }

    private func overrun() {
        endEpoch(RPCError(.resourceExhausted, "stage \(plan.stageIndex) got more steps than it can queue"))
    }

    /// One step, on the compute thread.
    private func compute(_ runner: StageRunner, _ message: ByteBuffer, attachment: ByteBuffer?, epoch: UInt64) {
        guard state.withLock({ $0.epoch == epoch }) else { return }
        do {
            let start = ContinuousClock.now
            let request: Fathom_Shard_V1_StepRequest = try PipelineCoding.decode(message)
            let batch = try StepBatch(proto: request)
            let output = try (attachment ?? ByteBuffer()).withUnsafeReadableBytes {
                try runner.run(batch, incoming: $0)
            }
            let duration = start.duration(to: .now)
            let microseconds = UInt64(max(0, duration / .microseconds(1)))
            onStep(
                StepMetrics(
                    duration: duration, computeDuration: duration, tokens: batch.tokenCount,
                    sequences: batch.sequences.count))
            switch output {
            case .results(let results):
                try answer(batch.stepID, results, microseconds: microseconds, epoch: epoch)
            case .hidden(let hidden):
                try passOn(message, hidden, stepID: batch.stepID, microseconds: microseconds, epoch: epoch)
            }
        } catch {
            fail(error)
        }
    }

    private func answer(
        _ stepID: UInt64, _ results: [SequenceResult], microseconds: UInt64, epoch: UInt64
    ) throws(RPCError) {
        var response = Fathom_Shard_V1_StepResponse()
        response.stepID = stepID
        response.results = results.map { $0.proto() }
        response.computeMicroseconds = microseconds
        let upstream = state.withLock { $0.epoch == epoch ? $0.upstream : nil }
        try upstream?.send(message: PipelineCoding.encode(response))
    }

    /// The request travels on as it came; only the hidden states are new.
    private func passOn(
        _ message: ByteBuffer, _ hidden: UnsafeBufferPointer<Float>, stepID: UInt64, microseconds: UInt64, epoch: UInt64
    ) throws(RPCError) {
        let downstream = state.withLock { state -> Downstream? in
            guard state.epoch == epoch, let downstream = state.downstream else { return nil }
            state.computeTimes.append((stepID, microseconds))
            return downstream
        }
        try downstream?.send(message, hidden: hidden)
    }

    /// An answer from a later stage, on the event loop.
    private func passBack(_ message: ByteBuffer, join: UInt64) {
        do {
            var response: Fathom_Shard_V1_StepResponse = try PipelineCoding.decode(message)
            let (upstream, own) = state.withLock { state -> (RawServerStream?, UInt64) in
                guard state.joinCount == join else { return (nil, 0) }
                guard let first = state.computeTimes.first, first.stepID == response.stepID else {
                    return (state.upstream, 0)
                }
                state.computeTimes.removeFirst()
                return (state.upstream, first.microseconds)
            }
            response.computeMicroseconds += own
            try upstream?.send(message: PipelineCoding.encode(response))
        } catch {
            fail(error)
        }
    }

    private func fail(_ error: any Error) {
        logger.error("A step failed", metadata: ["stage.index": "\(plan.stageIndex)", "error": "\(error)"])
        let reason =
            switch error {
            case let error as RPCError: error
            case let error as InferenceError: error.rpcError(contextLimit: 0)
            default: RPCError(.internalError, "stage \(plan.stageIndex) failed", cause: error)
            }
        endEpoch(reason)
    }
}
