import Dispatch
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// SIGINT and SIGTERM as the end of whatever is being waited for. Once one came, every later wait ends at once.
final class Interrupts {
    /// Wakes whoever waits for a signal.
    private final class Latch: Sendable {
        private struct State {
            var hasFired = false
            var nextID = 0
            var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        }

        private let state = Mutex(State())

        func fire() {
            let waiters = state.withLock { state in
                state.hasFired = true
                defer { state.waiters = [:] }
                return state.waiters.values.map { $0 }
            }
            waiters.forEach { $0.resume() }
        }

        /// Returns when the latch has fired or the task is cancelled.
        func wait() async {
            let id = state.withLock { state in
                state.nextID += 1
                return state.nextID
            }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isOver = state.withLock { state in
                        guard !state.hasFired, !Task.isCancelled else { return true }
                        state.waiters[id] = continuation
                        return false
                    }
                    if isOver { continuation.resume() }
                }
            } onCancel: {
                state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
            }
        }
    }

    private let latch = Latch()
    private let sources: [any DispatchSourceSignal]

    init(_ signals: [Int32] = [SIGINT, SIGTERM]) {
        sources = signals.map { [latch] number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { latch.fire() }
            source.activate()
            return source
        }
    }

    /// The result of `body`, or nil when a signal came first; `body` is cancelled and awaited then.
    @discardableResult
    func orNil<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result? {
        try await withThrowingTaskGroup(of: Result?.self) { [latch] group in
            group.addTask { try await body() }
            group.addTask {
                await latch.wait()
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }
}
