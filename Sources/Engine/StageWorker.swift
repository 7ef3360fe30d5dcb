import Foundation
import InferenceCore

/// The compute thread of a stage after the first: runs jobs against the stage one after another.
///
/// The event loop hands over work with `submit` and never waits; the queue is bounded, and a full one means that the head
/// does not keep to the protocol.
package final class StageWorker: Sendable {
    /// Work for the compute thread; must not throw and must bring its results home itself.
    package typealias Job = @Sendable (StageRunner) -> Void

    private let mailbox: Mailbox<Job>
    private let finished: AsyncStream<Void>

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - stage: handed over to the thread.
    ///   - capacity: jobs that may wait.
    package init(stage: sending any ModelStage, capacity: Int = 64) {
        let mailbox = Mailbox<Job>(capacity: capacity)
        self.mailbox = mailbox
        let (finished, finishing) = AsyncStream.makeStream(of: Void.self)
        self.finished = finished
        let runner = UncheckedHandover(StageRunner(stage: stage))
        let thread = Thread {
            // The stage's memory is free when the thread is said to have finished.
            runner.take { runner in
                var jobs: [Job] = []
                while mailbox.take(into: &jobs, until: nil) {
                    for job in jobs { job(runner) }
                }
            }
            finishing.finish()
        }
        thread.name = "fathom-stage"
        thread.stackSize = 8 << 20
        thread.start()
    }

    deinit {
        mailbox.close()
    }

    /// Queues a job.
    ///
    /// - Returns: false when the queue is full or the worker stopped.
    package func submit(_ job: @escaping Job) -> Bool {
        mailbox.post(job)
    }

    /// Ends the thread after the jobs already queued.
    package func stop() {
        mailbox.close()
    }

    /// Ends the thread after the jobs already queued. The stage and all its memory are gone when this returns, unless the
    /// task is cancelled. To be called once.
    package func shutdown() async {
        mailbox.close()
        for await _ in finished {}
    }
}
