import Synchronization

/// Cancels the task that runs a handler, from any thread, at any time before, during or after its run.
final class TaskCanceller: Sendable {
    /// `UnsafeCurrentTask` is only valid while the body it was given to runs. `run` holds that body open and takes the
    /// handle out under the lock before it ends, so nobody can use it later: sharing it is safe.
    private struct Handle: @unchecked Sendable {
        let task: UnsafeCurrentTask
    }

    private enum State {
        case waiting
        case running(Handle)
        case cancelled
        case finished
    }

    private let state = Mutex(State.waiting)

    /// Cancels the task that is, or will be, in ``run(_:)``.
    func cancel() {
        state.withLock { state in
            switch state {
            case .running(let handle): handle.task.cancel()
            case .waiting: state = .cancelled
            case .cancelled, .finished: break
            }
        }
    }

    /// Runs `body` in the current task, which `cancel` cancels from now on. Call once, as the last work of the task.
    func run(_ body: () async -> Void) async {
        await withUnsafeCurrentTask { task in
            guard let task else { return }
            state.withLock { state in
                if case .cancelled = state { task.cancel() } else { state = .running(Handle(task: task)) }
            }
            await body()
            state.withLock { $0 = .finished }
        }
    }
}
