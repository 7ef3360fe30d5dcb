import Dispatch
import Synchronization

/// Divides work that falls into independent pieces over a fixed number of threads. Pieces are claimed one by one, so that a
/// thread that the system holds up for a while does not hold up the others' share.
struct RowWorkers {
    /// Rows of a block at most: what a block needs of the widest layer (256 · 1,536 floats of MiniLM) stays in a core's cache.
    static let greatestBlock = 256
    /// Passes below this many tokens, such as short questions, are not worth a second thread.
    private static let leastTokens = 48

    /// Threads, the caller's included.
    let threads: Int

    /// Calls `body` with a worker number below `threads` and the rows of a block, for all `rows`.
    func forEachBlock(of rows: Int, _ body: (_ worker: Int, _ rows: Range<Int>) -> Void) {
        // One block for each thread, of whole rows of registers, or more of the greatest size.
        let share = (rows + threads - 1) / threads
        let size = min(Self.greatestBlock, (share + 15) / 16 * 16)
        let count = (rows + size - 1) / size
        forEach(count, tokens: rows) { worker, block in
            body(worker, block * size..<min(rows, (block + 1) * size))
        }
    }

    /// Calls `body` with a worker number below `threads` and each index below `count`.
    ///
    /// - Parameter tokens: Of the pass: how much work it is all together.
    func forEach(_ count: Int, tokens: Int, _ body: (_ worker: Int, _ index: Int) -> Void) {
        guard threads > 1, count > 1, tokens >= Self.leastTokens else {
            for index in 0..<count { body(0, index) }
            return
        }
        let next = Atomic(0)
        withoutActuallyEscaping(body) { body in
            let shared = Shared(body: body)
            DispatchQueue.concurrentPerform(iterations: min(threads, count)) { worker in
                while true {
                    let index = next.add(1, ordering: .relaxed).oldValue
                    if index >= count { return }
                    shared.body(worker, index)
                }
            }
        }
    }

    // @unchecked: the pieces are independent by contract, and all have ended when `forEach` returns.
    private struct Shared: @unchecked Sendable {
        let body: (_ worker: Int, _ index: Int) -> Void
    }
}
