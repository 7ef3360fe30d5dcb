import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Threads for work that reads files and computes for seconds, which must occupy neither an event loop nor a thread of
/// the cooperative pool. Each call makes one; callers bound how many there are.
enum LoaderThread {
    /// Runs `body` on a new thread and returns its result. Cancelling the task does not end it early.
    static func run<Result: Sendable>(
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            let thread = Thread {
                // Its own scope, so that what the work needed is gone when it is said to be done.
                let result = Swift.Result { try body() }
                continuation.resume(with: result)
            }
            thread.name = "fathom-load"
            thread.stackSize = 8 << 20
            thread.start()
        }
    }

    /// Gives memory that the allocator holds back for later to the system: after an eviction nobody will ask for it soon.
    static func returnFreeMemory() {
        _ = trim?(0)
    }

    private typealias Trim = @convention(c) (_ keep: Int) -> Int32

    /// `malloc_trim`, where the C library has it: glibc does, and Swift's module of it leaves it out.
    private static let trim = dlsym(nil, "malloc_trim").map { unsafeBitCast($0, to: Trim.self) }
}
