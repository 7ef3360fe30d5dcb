import Dispatch

/// Runs file access and heavy computing outside the cooperative thread pool.
enum BlockingWork {
    // Concurrent: callers bound how much of it is under way (uploads, searches, indexing workers).
    private static let queue = DispatchQueue(
        label: "fathom.store.blocking", qos: .userInitiated, attributes: .concurrent)

    static func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Swift.Result(catching: body)) }
        }
    }

    /// Starts work that nobody waits for.
    static func start(_ body: @escaping @Sendable () -> Void) { queue.async(execute: body) }
}
