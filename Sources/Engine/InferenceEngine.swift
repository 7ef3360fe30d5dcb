import Foundation
import InferenceCore
import Synchronization

/// Generates tokens for many requests at once, on a thread of its own.
///
/// The thread repeats: take messages, schedule, run the local stage, then sample or hand the hidden states to the next
/// stage, apply results. Between steps it parks on the mailbox. See ``EngineLoop`` for the thread's side; this class is
/// what other threads and tasks may touch.
package final class InferenceEngine: Sendable {
    struct Shared {
        var status = EngineStatus()
        var nextID: UInt64 = 1
        var openCount = 0
        var isDraining = false
    }

    /// State that both sides read.
    final class Board: Sendable {
        let shared = Mutex(Shared())
    }

    /// Limits of this engine, for checks before a request is submitted.
    package let limits: SchedulerConfiguration
    private let mailbox: Mailbox<EngineMessage>
    private let board: Board
    private let finished: AsyncStream<Void>

    /// Starts the step thread.
    ///
    /// - Parameters:
    ///   - stage: the first stage; handed over to the step thread.
    ///   - link: to the next stage when `configuration.stageCount` is above 1.
    ///   - onStep: called on the step thread after each step; must not block.
    package init(
        stage: sending any ModelStage, link: (any PipelineLink)? = nil, configuration: EngineConfiguration,
        onStep: @escaping @Sendable (StepMetrics) -> Void = { _ in }
    ) {
        precondition((link == nil) == (configuration.stageCount == 1), "a link exactly when there are more stages")
        let rowByteCount = stage.modelWidth * MemoryLayout<Float>.stride
        let sendableTokens = link.map { max(1, $0.maxHiddenByteCount / rowByteCount) } ?? .max
        limits = SchedulerConfiguration(
            maxBatchedTokens: min(configuration.maxBatchedTokens, stage.maxBatchedTokens, sendableTokens),
            maxRunningSequences: configuration.maxRunningSequences,
            maxWaitingSequences: configuration.maxWaitingSequences, stageCount: configuration.stageCount,
            kvBlockCount: stage.kvBlockCount, kvBlockSize: stage.kvBlockSize,
            maxContextTokens: stage.maxContextTokens, vocabularySize: stage.vocabularySize,
            endOfGenerationTokenIDs: configuration.endOfGenerationTokenIDs,
            reusesPrefixes: configuration.reusesPrefixes, maxDraftTokens: configuration.maxDraftTokens)
        // A submission and a cancellation for each open request, and the link's answers.
        mailbox = Mailbox(capacity: 4 * (limits.maxRunningSequences + limits.maxWaitingSequences) + 256)
        board = Board()
        let (finished, finishing) = AsyncStream.makeStream(of: Void.self)
        self.finished = finished

        let loop = UncheckedHandover(
            EngineLoop(
                runner: StageRunner(stage: stage), link: link, configuration: configuration, limits: limits,
                mailbox: mailbox, board: board, onStep: onStep))
        let thread = Thread {
            // The stage's memory is free when the thread is said to have finished.
            loop.take { $0.run() }
            finishing.finish()
        }
        thread.name = "fathom-step"
        thread.stackSize = 8 << 20
        thread.start()
        link?.start { [mailbox] event in mailbox.post(.link(event)) }
    }

    deinit {
        mailbox.close()
    }

    /// Accepts a request.
    ///
    /// - Throws: what ``SchedulerConfiguration/validate(promptTokenIDs:sampling:)`` throws, `queueFull`, `draining`.
    package func submit(_ request: EngineRequest) throws(InferenceError) -> EngineGeneration {
        try limits.validate(promptTokenIDs: request.promptTokenIDs, sampling: request.sampling)
        let capacity = limits.maxRunningSequences + limits.maxWaitingSequences
        var request = request
        if request.sampling.seed == nil { request.sampling.seed = UInt64.random(in: .min ... .max) }
        let (events, continuation) = AsyncStream.makeStream(of: EngineEvent.self)

        // Posted inside the lock, so that ids arrive in order.
        let accepted: Result<SequenceID, InferenceError> = board.shared.withLock { shared in
            guard !shared.isDraining else {
                return .failure(InferenceError(code: .draining, message: "this shard is shutting down"))
            }
            guard shared.openCount < capacity else {
                return .failure(InferenceError(code: .queueFull, message: "\(shared.openCount) requests are open"))
            }
            let id = SequenceID(rawValue: shared.nextID)
            guard mailbox.post(.submit(id, request, continuation)) else {
                return .failure(InferenceError(code: .queueFull, message: "the engine is not taking requests"))
            }
            shared.nextID += 1
            shared.openCount += 1
            return .success(id)
        }
        let id = try accepted.get()
        continuation.onTermination = { [mailbox] reason in
            if case .cancelled = reason { mailbox.post(.cancel(id)) }
        }
        return EngineGeneration(id: id, events: events)
    }

    /// Ends a request within one step; unknown ids are ignored. Its event stream ends without another event.
    package func cancel(_ id: SequenceID) {
        mailbox.post(.cancel(id))
    }

    /// A snapshot taken after the last step.
    package var status: EngineStatus {
        board.shared.withLock(\.status)
    }

    /// Refuses new requests, lets the open ones finish, and ends the step thread. The stage and all its memory are gone
    /// when this returns, unless the task is cancelled. To be called once.
    ///
    /// - Parameter deadline: open requests fail with `draining` then.
    package func shutdown(deadline: ContinuousClock.Instant) async {
        board.shared.withLock { $0.isDraining = true }
        mailbox.post(.drain(deadline))
        for await _ in finished {}
    }
}

/// What other threads tell the step thread.
enum EngineMessage: Sendable {
    case submit(SequenceID, EngineRequest, AsyncStream<EngineEvent>.Continuation)
    case cancel(SequenceID)
    case link(PipelineEvent)
    case drain(ContinuousClock.Instant)
}

/// Carries an object to the one thread that will use it, and lets it go there.
///
/// `@unchecked Sendable`: the maker gives up the object and only the receiving thread touches it.
final class UncheckedHandover<Value: AnyObject>: @unchecked Sendable {
    private var value: Value?

    init(_ value: Value) {
        self.value = value
    }

    /// Uses the object for the last time.
    func take(_ body: (Value) -> Void) {
        guard let value = value.take() else { return }
        body(value)
    }
}
