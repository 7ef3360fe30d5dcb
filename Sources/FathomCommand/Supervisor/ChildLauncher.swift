#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The first thing a child of the supervisor runs: this executable again, which ties its life to the supervisor's and
/// then becomes the service.
///
/// `posix_spawn` cannot set a parent-death signal and `fork` is not safe in a threaded program, hence the detour. The
/// kernel sends the signal when the *thread* that spawned the child ends, so the supervisor spawns from its main thread.
package enum ChildLauncher {
    /// First argument that turns this executable into a launcher.
    package static let marker = "--fathom-child"

    /// Arguments that launch `executable` under the process `parent`.
    package static func arguments(parent: pid_t, executable: String, arguments: [String]) -> [String] {
        [marker, String(parent), executable] + arguments
    }

    /// Becomes the service when the command line asks for it; returns otherwise.
    package static func runIfRequested(_ commandLine: [String]) {
        guard commandLine.count >= 4, commandLine[1] == marker, let parent = pid_t(commandLine[2]) else { return }
        #if os(Linux)
        setParentDeathSignal()
        // The parent may have ended before the signal was asked for.
        guard getppid() == parent else { exit(125) }
        #endif
        let line = Array(commandLine[3...])
        let copies: [UnsafeMutablePointer<CChar>?] = line.map { strdup($0) } + [nil]
        execv(line[0], copies)
        let message = "cannot run \(line[0]): \(String(cString: strerror(errno)))\n"
        _ = message.withCString { write(STDERR_FILENO, $0, strlen($0)) }
        exit(126)
    }

    #if os(Linux)
    /// `prctl(PR_SET_PDEATHSIG, SIGKILL)`. Swift cannot call C functions with variable arguments, so it is looked up
    /// with the fixed signature that every Linux ABI passes the same way.
    private static func setParentDeathSignal() {
        typealias ProcessControl =
            @convention(c) (CInt, CUnsignedLong, CUnsignedLong, CUnsignedLong, CUnsignedLong) -> CInt
        guard let symbol = dlsym(nil, "prctl") else { return }
        let processControl = unsafeBitCast(symbol, to: ProcessControl.self)
        let setParentDeathSignalOption: CInt = 1
        _ = processControl(setParentDeathSignalOption, CUnsignedLong(SIGKILL), 0, 0, 0)
    }
    #endif
}
