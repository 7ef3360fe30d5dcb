import CKernels

/// Persistent compute threads; the caller of `run` is thread 0.
///
/// Waiting threads spin for some tens of microseconds, then park, so that throughput falls in proportion when another
/// process takes a core, and an idle pool uses no processor time.
///
///     pool.run { thread in
///         pool.forEachChunk(of: rows, chunk: 8) { rows in work(rows) }
///         pool.barrier()   // everybody sees all chunks done, and new ones can be claimed
///         ...
///     }
// @unchecked: the pool is an opaque handle whose functions synchronise; `run` has one caller at a time (the step
// thread).
package final class ThreadPool: @unchecked Sendable {
    private let pool: OpaquePointer
    /// Threads, the caller included; at least 1.
    package let threadCount: Int

    /// Makes `threadCount - 1` threads.
    /// - Throws: `KernelError.resourceExhausted` when the system refuses.
    package init(threadCount: Int) throws {
        guard (1...256).contains(threadCount) else {
            throw KernelError(code: .invalidArgument, message: "thread count: got \(threadCount), expected 1...256")
        }
        guard let pool = ck_pool_create(threadCount) else {
            throw KernelError(code: .resourceExhausted, message: "cannot make \(threadCount) compute threads")
        }
        self.pool = pool
        self.threadCount = threadCount
    }

    deinit { ck_pool_destroy(pool) }

    /// Runs `body(threadIndex)` once on every thread and returns when all have returned. Not reentrant.
    package func run(_ body: (_ threadIndex: Int) -> Void) {
        withoutActuallyEscaping(body) { body in
            var context = RegionBody(body: body)
            withUnsafeMutablePointer(to: &context) { pointer in
                ck_pool_run(
                    pool,
                    { context, thread in
                        guard let context else { return }
                        context.assumingMemoryBound(to: RegionBody.self).pointee.body(thread)
                    }, pointer)
            }
        }
    }

    /// Inside a region: waits until every thread has arrived, after which chunks can be claimed anew. All threads of the
    /// region must call it the same number of times.
    package func barrier() { ck_pool_barrier(pool) }

    /// Inside a region: claims chunks of `0..<count`, at most `chunk` long, until none are left; all threads must pass the
    /// same numbers. Does not wait for others. A thread gets neighbouring chunks as long as its share lasts, then those
    /// that others have not come to: threads that lose their core simply claim less. Results must not depend on who got
    /// what. At most one loop between two barriers.
    package func forEachChunk(of count: Int, chunk: Int, _ body: (Range<Int>) -> Void) {
        precondition(chunk > 0)
        let chunks = (count + chunk - 1) / chunk
        while true {
            let start = ck_pool_claim(pool, chunks) * chunk
            if start >= count { return }
            body(start..<min(start + chunk, count))
        }
    }

    /// The `index`-th of `parts` nearly equal contiguous parts of `0..<count`, boundaries on multiples of `alignment`.
    package static func split(_ count: Int, part index: Int, of parts: Int, alignment: Int = 1) -> Range<Int> {
        precondition(parts > 0 && alignment > 0 && (0..<parts).contains(index))
        let units = (count + alignment - 1) / alignment
        let lower = units * index / parts * alignment
        let upper = units * (index + 1) / parts * alignment
        return min(lower, count)..<min(upper, count)
    }
}

private struct RegionBody {
    let body: (Int) -> Void
}
