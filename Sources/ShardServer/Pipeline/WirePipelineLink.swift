import Engine
import InferenceCore
import Logging
import NIOCore
import Synchronization
import Wire
import WireProtocols

/// The head's link to stage 1: joins, keeps the stream of steps, joins again whenever it is lost.
///
/// The hot path does not suspend: steps leave on the step thread, answers arrive on the event loop and go straight to
/// the engine's mailbox.
package final class WirePipelineLink: PipelineLink {
    private struct State {
        var receive: (@Sendable (PipelineEvent) -> Void)?
        var current: (epoch: UInt64, downstream: Downstream)?
        var epochCount: UInt64 = 0
        var lastClosedEpoch: UInt64 = 0
        var isStopped = false
        /// Why the next stage refused the last join.
        var refusal: RPCError?
        /// Epochs in a row that ended soon after they began.
        var shortEpochCount = 0
    }

    /// Pauses between attempts to join.
    private static let pauses: [Duration] = [
        .milliseconds(50), .milliseconds(100), .milliseconds(250), .milliseconds(500),
    ]

    /// Pauses after epochs that came to nothing: something in the steps themselves may end them, and would again.
    private static let shortEpochPauses: [Duration] = [
        .milliseconds(50), .milliseconds(250), .seconds(1), .seconds(5),
    ]
    /// An epoch that lasts this long is none of those.
    private static let steadyTime = Duration.seconds(5)

    private let client: WireClient
    private let plan: StagePlan
    private let group: ReplicaGroup
    private let joinTimeout: Duration
    private let logger: Logger
    private let state = Mutex(State())
    private let stopped: AsyncStream<Void>
    private let stopping: AsyncStream<Void>.Continuation

    /// - Parameters:
    ///   - client: to the next stage; closed when `run` ends.
    ///   - plan: what the next stage must fit.
    ///   - group: learns of the stages behind.
    ///   - joinTimeout: how long joining may take, all later stages together.
    package init(
        client: WireClient, plan: StagePlan, group: ReplicaGroup, joinTimeout: Duration? = nil, logger: Logger
    ) {
        self.client = client
        self.plan = plan
        self.group = group
        self.joinTimeout = joinTimeout ?? Downstream.defaultJoinTimeout
        self.logger = logger
        (stopped, stopping) = AsyncStream.makeStream()
    }

    /// Three quarters of a frame; the rest is for block tables and parameters.
    package static let maxHiddenByteCount: Int = WireLimits().maxFrameBytes / 4 * 3
    package var maxHiddenByteCount: Int { Self.maxHiddenByteCount }

    /// Whether there is a connection to the next stage, joined or not.
    package var isConnected: Bool { client.isConnected }

    /// Why the next stage, which can be reached, does not take this model; nil while it does, or when nobody knows.
    package var refusal: RPCError? { state.withLock(\.refusal) }

    /// Whether link after link has ended soon after it came up.
    package var isFlapping: Bool { state.withLock(\.shortEpochCount) >= Self.shortEpochPauses.count }

    package func start(_ receive: @escaping @Sendable (PipelineEvent) -> Void) {
        state.withLock { $0.receive = receive }
    }

    // MARK: - The step thread's side

    package func send(_ batch: StepBatch, hidden: UnsafeBufferPointer<Float>, epoch: UInt64) throws {
        let downstream = state.withLock { $0.current?.epoch == epoch ? $0.current?.downstream : nil }
        guard let downstream else {
            throw InferenceError(code: .shardUnavailable, message: "pipeline stage \(plan.stageIndex) is not linked")
        }
        do {
            try downstream.send(PipelineCoding.encode(batch.proto()), hidden: hidden)
        } catch {
            throw InferenceError(link: error, stage: plan.stageIndex)
        }
    }

    package func invalidate(epoch: UInt64, reason: InferenceError) {
        end(epoch, reason)?.cancel()
    }

    package func stop() {
        let downstream = state.withLock { state in
            state.isStopped = true
            state.receive = nil
            defer { state.current = nil }
            return state.current?.downstream
        }
        downstream?.cancel()
        stopping.finish()
    }

    // MARK: - Joining

    /// Keeps the link up until `stop` or cancellation.
    package func run() async {
        await withTaskGroup { tasks in
            tasks.addTask { await self.keepLinked() }
            // Also ends a join that is under way.
            tasks.addTask { for await _ in self.stopped {} }
            await tasks.next()
            tasks.cancelAll()
        }
        stop()
        await client.close()
    }

    private func keepLinked() async {
        var failures = 0
        while !Task.isCancelled, !state.withLock(\.isStopped) {
            var pause = Duration.zero
            do {
                let lasted = try await stayLinked { failures = 0 }
                let shortEpochs = state.withLock { state in
                    state.shortEpochCount = lasted < Self.steadyTime ? state.shortEpochCount + 1 : 1
                    return state.shortEpochCount
                }
                pause = Self.shortEpochPauses[min(shortEpochs, Self.shortEpochPauses.count) - 1]
            } catch {
                noteRefusal(error)
                // Said once when contact is lost, not once per attempt.
                logger.log(
                    level: failures == 0 ? .warning : .debug, "Pipeline stage cannot be joined",
                    metadata: [
                        "stage.index": "\(plan.stageIndex)", "model": "\(plan.modelName)", "error": "\(error)",
                    ])
            }
            pause = max(pause, Self.pauses[min(failures, Self.pauses.count - 1)])
            failures += 1
            try? await Task.sleep(for: pause)
        }
    }

    private func noteRefusal(_ error: any Error) {
        let error = error as? RPCError
        switch error?.code {
        // Nothing against the model: the stage is away, slow, or busy with another join.
        case nil, .unavailable, .deadlineExceeded, .cancelled, .aborted: break
        default: state.withLock { $0.refusal = error }
        }
    }

    /// One epoch, from joining to the stream's end.
    ///
    /// - Returns: how long it lasted.
    private func stayLinked(_ onLink: () -> Void) async throws -> Duration {
        let epoch = state.withLock { state in
            state.epochCount += 1
            return state.epochCount
        }
        let (closed, closing) = AsyncStream.makeStream(of: Void.self)
        let downstream = try await Downstream.connect(client, plan: plan, joinTimeout: joinTimeout) { [self] message in
            deliver(message, epoch: epoch)
        } onClosed: { [self] error in
            let reason = error ?? RPCError(.unavailable, "the stage ended the stream")
            _ = end(epoch, InferenceError(link: reason, stage: plan.stageIndex))
            closing.finish()
        }
        let start = ContinuousClock.now
        group.linked(to: downstream.stages)
        let isLinked = state.withLock { state in
            guard state.lastClosedEpoch < epoch, !state.isStopped else { return false }
            state.current = (epoch, downstream)
            state.refusal = nil
            // Under the lock, so that `up` comes before `down`. Posting to a mailbox does not block.
            state.receive?(.up(epoch: epoch))
            return true
        }
        if isLinked {
            let metadata: Logger.Metadata = [
                "stage.index": "\(plan.stageIndex)", "model": "\(plan.modelName)", "epoch": "\(epoch)",
            ]
            onLink()
            logger.info("Pipeline linked", metadata: metadata)
            for await _ in closed {}
            // Giving a model up is no loss.
            let isStopped = state.withLock(\.isStopped)
            logger.log(
                level: isStopped ? .info : .warning, isStopped ? "Pipeline link ended" : "Pipeline link lost",
                metadata: metadata)
        }
        downstream.cancel()
        group.unlinked()
        return start.duration(to: .now)
    }

    private func deliver(_ message: ByteBuffer, epoch: UInt64) {
        do {
            let response: Fathom_Shard_V1_StepResponse = try PipelineCoding.decode(message)
            let event = PipelineEvent.results(
                epoch: epoch, stepID: response.stepID,
                results: try response.results.map { try SequenceResult(proto: $0) },
                computeMicroseconds: response.computeMicroseconds)
            state.withLock(\.receive)?(event)
        } catch let error as RPCError {
            invalidate(epoch: epoch, reason: InferenceError(link: error, stage: plan.stageIndex))
        } catch {
            let reason = InferenceError(
                code: .internalError, message: "the answer of stage \(plan.stageIndex) cannot be used", cause: error)
            invalidate(epoch: epoch, reason: reason)
        }
    }

    /// Ends an epoch once: the engine hears of it, and the caller may cancel the stream.
    private func end(_ epoch: UInt64, _ reason: InferenceError) -> Downstream? {
        state.withLock { state in
            state.lastClosedEpoch = max(state.lastClosedEpoch, epoch)
            guard let current = state.current, current.epoch == epoch else { return nil }
            state.current = nil
            state.receive?(.down(epoch: epoch, reason))
            return current.downstream
        }
    }
}
