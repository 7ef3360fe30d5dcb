import Engine
import InferenceCore
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import Wire
import WireProtocols

/// The head's link to stage 1: joins, keeps the stream of steps, joins again whenever it is lost.
///
/// The hot path does not suspend: steps leave on the step thread, answers arrive on the event loop and go straight to
/// the engine's mailbox.
package final class WirePipelineLink: PipelineLink, Service {
    private struct State {
        var receive: (@Sendable (PipelineEvent) -> Void)?
        var current: (epoch: UInt64, downstream: Downstream)?
        var epochCount: UInt64 = 0
        var lastClosedEpoch: UInt64 = 0
        var isStopped = false
    }

    /// Pauses between attempts to join.
    private static let pauses: [Duration] = [
        .milliseconds(50), .milliseconds(100), .milliseconds(250), .milliseconds(500),
    ]

    private let client: WireClient
    private let plan: StagePlan
    private let group: ReplicaGroup
    private let joinTimeout: Duration
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameters:
    ///   - client: to the next stage; closed when `run` ends.
    ///   - plan: what the next stage must fit.
    ///   - group: learns of the stages behind.
    ///   - joinTimeout: how long joining may take, all later stages together.
    package init(
        client: WireClient, plan: StagePlan, group: ReplicaGroup, joinTimeout: Duration = .seconds(5), logger: Logger
    ) {
        self.client = client
        self.plan = plan
        self.group = group
        self.joinTimeout = joinTimeout
        self.logger = logger
    }

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
    }

    // MARK: - Joining

    /// Keeps the link up until graceful shutdown or `stop`.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var failures = 0
            while !Task.isCancelled, !self.state.withLock(\.isStopped) {
                do {
                    try await self.stayLinked { failures = 0 }
                } catch {
                    // Said once when contact is lost, not once per attempt.
                    self.logger.log(
                        level: failures == 0 ? .warning : .debug, "Pipeline stage cannot be joined",
                        metadata: ["stage.index": "\(self.plan.stageIndex)", "error": "\(error)"])
                }
                let pause = Self.pauses[min(failures, Self.pauses.count - 1)]
                failures += 1
                try? await Task.sleep(for: pause)
            }
        }
        stop()
        await client.close()
    }

    /// One epoch, from joining to the stream's end.
    private func stayLinked(_ onLink: () -> Void) async throws {
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
        group.linked(to: downstream.stages)
        let isLinked = state.withLock { state in
            guard state.lastClosedEpoch < epoch, !state.isStopped else { return false }
            state.current = (epoch, downstream)
            // Under the lock, so that `up` comes before `down`. Posting to a mailbox does not block.
            state.receive?(.up(epoch: epoch))
            return true
        }
        if isLinked {
            onLink()
            logger.info("Pipeline linked", metadata: ["stage.index": "\(plan.stageIndex)", "epoch": "\(epoch)"])
            for await _ in closed {}
            logger.warning("Pipeline link lost", metadata: ["stage.index": "\(plan.stageIndex)", "epoch": "\(epoch)"])
        }
        downstream.cancel()
        group.unlinked()
    }

    private func deliver(_ message: ByteBuffer, epoch: UInt64) {
        do {
            let response: Fathom_Shard_V1_StepResponse = try PipelineCoding.decode(message)
            let event = PipelineEvent.results(
                epoch: epoch, stepID: response.stepID, results: response.results.map(SequenceResult.init(proto:)),
                computeMicroseconds: response.computeMicroseconds)
            state.withLock(\.receive)?(event)
        } catch {
            invalidate(epoch: epoch, reason: InferenceError(link: error, stage: plan.stageIndex))
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
