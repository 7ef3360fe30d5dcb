import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Starts programs with `posix_spawn`.
///
/// Foundation's `Process` is not used because a child started from a worker thread inherits that thread's blocked
/// signals (SIGTERM and SIGINT among them), and because it cannot give a child its own process group.
package struct ProcessSpawner: Sendable {
    /// Path, or a name that `PATH` resolves.
    package var executable: String
    /// Arguments without the program's own name.
    package var arguments: [String]
    /// The whole environment of the child.
    package var environment: [String: String]
    /// File that standard output and standard error are appended to; nil keeps ours.
    package var logPath: String?
    /// A descriptor of ours, open for appending, that gets standard output and standard error; overrides `logPath`.
    package var logDescriptor: Int32?
    /// A descriptor of ours that becomes the child's standard output, for talking to it; overrides the log there.
    package var outputDescriptor: Int32?
    /// Group of its own, so that the terminal's Ctrl-C reaches only us.
    package var hasOwnGroup: Bool
    /// Session of its own, so that it survives the terminal.
    package var hasOwnSession: Bool

    package init(
        executable: String, arguments: [String], environment: [String: String] = ProcessInfo.processInfo.environment,
        logPath: String? = nil, logDescriptor: Int32? = nil, outputDescriptor: Int32? = nil, hasOwnGroup: Bool = false,
        hasOwnSession: Bool = false
    ) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.logPath = logPath
        self.logDescriptor = logDescriptor
        self.outputDescriptor = outputDescriptor
        self.hasOwnGroup = hasOwnGroup
        self.hasOwnSession = hasOwnSession
    }

    /// Starts the program with all signals unblocked and at their defaults, and standard input at end of file.
    ///
    /// - Returns: The child's process id; the caller must wait for it.
    /// - Throws: ``ModelRegistryError`` `fileUnavailable` when it cannot be started.
    package func spawn() throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        if let logDescriptor {
            posix_spawn_file_actions_adddup2(&actions, logDescriptor, STDERR_FILENO)
            posix_spawn_file_actions_adddup2(&actions, logDescriptor, STDOUT_FILENO)
        } else if let logPath {
            posix_spawn_file_actions_addopen(
                &actions, STDERR_FILENO, logPath, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600)
            posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO)
        }
        if let outputDescriptor { posix_spawn_file_actions_adddup2(&actions, outputDescriptor, STDOUT_FILENO) }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        var flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        if hasOwnGroup {
            posix_spawnattr_setpgroup(&attributes, 0)
            flags |= POSIX_SPAWN_SETPGROUP
        }
        if hasOwnSession { flags |= Self.setSessionFlag }
        posix_spawnattr_setflags(&attributes, Int16(flags))

        var pid: pid_t = 0
        let status = Self.withCStrings([executable] + arguments) { argv in
            Self.withCStrings(environment.map { "\($0.key)=\($0.value)" }) { envp in
                posix_spawnp(&pid, executable, &actions, &attributes, argv, envp)
            }
        }
        guard status == 0 else {
            throw ModelRegistryError(
                code: .fileUnavailable, message: "cannot start \(executable): \(String(cString: strerror(status)))")
        }
        return pid
    }

    /// glibc's `POSIX_SPAWN_SETSID`, which the module map hides behind a feature macro.
    private static let setSessionFlag: Int32 = 0x80

    /// Waits for a child of ours on a thread of its own.
    ///
    /// - Returns: Its exit status, 128 plus the signal that killed it, or -1 when it is no child of ours.
    package static func wait(for pid: pid_t) async -> Int32 {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                var status: Int32 = 0
                var result: pid_t
                repeat { result = waitpid(pid, &status, 0) } while result < 0 && errno == EINTR
                continuation.resume(returning: result == pid ? exitStatus(status) : -1)
            }
        }
    }

    /// `waitpid`'s word as a shell would show it.
    package static func exitStatus(_ status: Int32) -> Int32 {
        let signal = status & 0x7f
        return signal == 0 ? (status >> 8) & 0xff : 128 + signal
    }

    private static func withCStrings<Result>(
        _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let copies = strings.map { strdup($0) }
        defer { copies.forEach { free($0) } }
        return body(copies + [nil])
    }
}
