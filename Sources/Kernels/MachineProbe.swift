import CKernels
import Synchronization

/// What this machine can do at best, with as many threads as the engine would use; speeds are told as shares of it.
package struct MachineProbe: Sendable {
    /// Reading of main memory, all threads together.
    package let readBytesPerSecond: Double
    /// int8 operations of the active instruction set, a product and its addition being two, all threads together.
    package let int8OperationsPerSecond: Double

    /// Far larger than the caches.
    private static let byteCount = 512 << 20
    private static let repeats = 3

    /// Measures for about a second; the best of three.
    /// - Throws: `KernelError` when memory or threads are refused.
    package init(threads: Int) throws {
        let pool = try ThreadPool(threadCount: threads)
        let memory = try AlignedBuffer<UInt8>(count: Self.byteCount)
        memory.pointer.update(repeating: 1, count: Self.byteCount)
        readBytesPerSecond = Self.best(pool) { thread in
            let part = ThreadPool.split(Self.byteCount, part: thread, of: threads, alignment: 64)
            return ck_probe_read_bytes_per_second(memory.pointer + part.lowerBound, part.count)
        }
        let isa = KernelSet.active.table.pointee.isa
        int8OperationsPerSecond = Self.best(pool) { _ in ck_probe_int8_ops_per_second(isa, 0.1) }
    }

    /// The best sum over the threads of what each measures at the same time.
    private static func best(_ pool: ThreadPool, _ measure: (Int) -> Double) -> Double {
        var best = 0.0
        for _ in 0..<repeats {
            let sum = Mutex(0.0)
            pool.run { thread in
                let rate = measure(thread)
                sum.withLock { $0 += rate }
            }
            best = max(best, sum.withLock { $0 })
        }
        return best
    }
}
