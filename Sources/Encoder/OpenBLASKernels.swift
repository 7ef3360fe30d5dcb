import COpenBLAS
import Foundation

/// Makes OpenBLAS use the vector instructions that the processor has.
///
/// OpenBLAS chooses its kernels by processor model when it is loaded, and a release older than the processor falls back
/// to SSE3 ("Prescott"), a third of the speed of AVX-512. The instruction sets are what matters, so in that case
/// they are looked up and OpenBLAS is asked to choose again, as its variable OPENBLAS_CORETYPE would have made it do at
/// the start. Without effect when the variable is set, and with builds of OpenBLAS that hold one kind of kernels only.
enum OpenBLASKernels {
    private typealias Function = @convention(c) () -> Void
    private typealias NameFunction = @convention(c) () -> UnsafePointer<CChar>?

    // Once per process, before the first product: a static is made exactly once.
    private static let chosen: Void = choose()

    /// Call it before any BLAS function.
    static func prepare() { _ = chosen }

    private static func choose() {
        guard getenv("OPENBLAS_CORETYPE") == nil, let handle = dlopen(nil, RTLD_NOW),
            let name: NameFunction = symbol("openblas_get_corename", handle), let current = name(),
            String(cString: current).lowercased() == "prescott", let better = bestCoreType(),
            let quit: Function = symbol("gotoblas_dynamic_quit", handle),
            let initialise: Function = symbol("gotoblas_dynamic_init", handle)
        else { return }
        setenv("OPENBLAS_CORETYPE", better, 1)
        quit()
        initialise()
    }

    private static func symbol<Pointer>(_ name: String, _ handle: UnsafeMutableRawPointer) -> Pointer? {
        dlsym(handle, name).map { unsafeBitCast($0, to: Pointer.self) }
    }

    /// OpenBLAS' name for the newest kernels that this processor's flags allow, or nil.
    private static func bestCoreType() -> String? {
        guard let text = try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("flags") })
        else { return nil }
        let flags = Set(line.split(separator: " "))
        if flags.isSuperset(of: ["avx512f", "avx512bw", "avx512dq", "avx512vl"]) { return "SkylakeX" }
        return flags.isSuperset(of: ["avx2", "fma"]) ? "Haswell" : nil
    }
}
