#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Keeps threads on processors of their own.
///
/// Two ends of a ping-pong that the scheduler happens to put on one processor hand over without a wake-up, which no two
/// busy processes ever do: whether that happens would decide the measurement.
enum CoreAffinity {
    /// Two processors this process may run on; nil when there is only one or the system does not tell.
    static func twoCores() -> (Int, Int)? {
        #if os(Linux)
        guard let getAffinity = symbol("sched_getaffinity", as: GetAffinity.self) else { return nil }
        var words = [UInt](repeating: 0, count: wordCount)
        let status = words.withUnsafeMutableBytes { getAffinity(0, $0.count, $0.baseAddress) }
        guard status >= 0 else { return nil }
        let cores = (0..<wordCount * UInt.bitWidth).filter { core in
            words[core / UInt.bitWidth] >> UInt(core % UInt.bitWidth) & 1 == 1
        }
        guard let first = cores.first, let last = cores.last, first != last else { return nil }
        return (first, last)
        #else
        return nil
        #endif
    }

    /// Keeps the current thread on `core`; nil leaves it alone. A refusal is no error: the numbers are then as they were.
    static func pinCurrentThread(to core: Int?) {
        #if os(Linux)
        guard let core, let setAffinity = symbol("sched_setaffinity", as: SetAffinity.self) else { return }
        var words = [UInt](repeating: 0, count: wordCount)
        words[core / UInt.bitWidth] = 1 << UInt(core % UInt.bitWidth)
        _ = words.withUnsafeBytes { setAffinity(0, $0.count, $0.baseAddress) }
        #endif
    }

    #if os(Linux)
    /// `cpu_set_t` has 1,024 bits.
    private static let wordCount = 1024 / UInt.bitWidth

    private typealias GetAffinity = @convention(c) (pid_t, Int, UnsafeMutableRawPointer?) -> CInt
    private typealias SetAffinity = @convention(c) (pid_t, Int, UnsafeRawPointer?) -> CInt

    /// The C library hides these two behind a macro that Swift's import of it does not set, so they are looked up.
    private static func symbol<Function>(_ name: String, as type: Function.Type) -> Function? {
        dlsym(nil, name).map { unsafeBitCast($0, to: type) }
    }
    #endif
}
