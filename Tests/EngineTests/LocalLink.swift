import Engine
import InferenceCore
import Synchronization
import Testing

/// Later stages in the same process: each a `StageWorker`, joined by closures instead of sockets.
final class LocalLink: PipelineLink {
    private struct State {
        var receive: (@Sendable (PipelineEvent) -> Void)?
        var epoch: UInt64?
        var epochCount: UInt64 = 0
        var isMute = false
        var sent = 0
    }

    let maxHiddenByteCount = Int.max
    private let state = Mutex(State())
    private let workers: [StageWorker]

    /// Fake stages with these layers.
    convenience init(stages: [Range<Int>], of layerCount: Int = 6) {
        self.init(workers: stages.map { StageWorker(stage: FakeStage(layers: $0, of: layerCount)) })
    }

    init(workers: [StageWorker]) {
        self.workers = workers
    }

    func start(_ receive: @escaping @Sendable (PipelineEvent) -> Void) {
        state.withLock { $0.receive = receive }
    }

    /// A new epoch: every later stage forgets, then the head hears of it.
    func up() {
        for worker in workers { #expect(worker.submit { $0.reset() }) }
        emit { state in
            state.epochCount += 1
            state.epoch = state.epochCount
            return .up(epoch: state.epochCount)
        }
    }

    func down() {
        emit { state in
            guard let epoch = state.epoch else { return nil }
            state.epoch = nil
            return .down(epoch: epoch, InferenceError(code: .shardUnavailable, message: "the test cut the link"))
        }
    }

    /// Steps are swallowed from now on.
    func mute() {
        state.withLock { $0.isMute = true }
    }

    /// How often the link came up.
    var epochCount: UInt64 { state.withLock(\.epochCount) }
    var sentCount: Int { state.withLock(\.sent) }
    var isUp: Bool { state.withLock { $0.epoch != nil } }

    private func emit(_ change: (inout State) -> PipelineEvent?) {
        let (event, receive) = state.withLock { (change(&$0), $0.receive) }
        if let event { receive?(event) }
    }

    func send(_ batch: StepBatch, hidden: UnsafeBufferPointer<Float>, epoch: UInt64) throws {
        let isMute = try state.withLock { state in
            guard state.epoch == epoch else {
                throw InferenceError(code: .shardUnavailable, message: "epoch \(epoch) is over")
            }
            state.sent += 1
            return state.isMute
        }
        if !isMute { pass(batch, Array(hidden), epoch: epoch, stage: 0) }
    }

    private func pass(_ batch: StepBatch, _ hidden: [Float], epoch: UInt64, stage: Int) {
        let queued = workers[stage].submit { runner in
            do {
                switch try hidden.withUnsafeBytes({ try runner.run(batch, incoming: $0) }) {
                case .hidden(let next): self.pass(batch, Array(next), epoch: epoch, stage: stage + 1)
                case .results(let results):
                    self.emit { _ in
                        .results(epoch: epoch, stepID: batch.stepID, results: results, computeMicroseconds: 1)
                    }
                }
            } catch {
                Issue.record(error)
            }
        }
        #expect(queued)
    }

    func invalidate(epoch: UInt64, reason: InferenceError) {
        emit { state in
            guard state.epoch == epoch else { return nil }
            state.epoch = nil
            return .down(epoch: epoch, reason)
        }
    }

    func stop() {
        state.withLock { $0.receive = nil }
        for worker in workers { worker.stop() }
    }
}
