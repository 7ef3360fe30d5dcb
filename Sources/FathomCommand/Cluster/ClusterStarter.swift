import Foundation
import ModelRegistry
import Wire

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Starts a supervisor and waits until its cluster runs; what `fathom up` and `fathom bench engine --shards` share.
struct ClusterStarter: Sendable {
    /// Longest wait for all processes to listen.
    static let startDeadline = Duration.seconds(300)

    let home: HomeDirectory
    let settings: ClusterSettings
    /// The cluster ends when this process does.
    let isTiedToUs: Bool
    /// Told once for each process that began to start or to listen.
    let report: @Sendable (String) -> Void

    /// - Returns: What `cluster.json` says, as soon as all processes listen.
    /// - Throws: ``CommandError`` `alreadyRunning`, `startFailed`, `timedOut`; `CancellationError`. Nothing is left
    ///   running then.
    func start() async throws -> ClusterFile {
        try home.prepare()
        try checkExecutables()
        guard let lock = try home.lock() else {
            throw CommandError(
                .alreadyRunning,
                "a cluster runs in \(home.path) already; see `fathom status`, end it with `fathom down`, or use another --home"
            )
        }
        close(lock)
        try checkPorts()
        for stale in [home.clusterFile, home.stateFile] { unlink(stale) }
        try AtomicFile.write(json: settings, to: home.settingsFile)
        let log = try home.openLog("supervisor")
        defer { close(log) }
        var arguments = ["supervise", "--home", home.path]
        if isTiedToUs { arguments += ["--parent", String(getpid())] }
        let pid = try ProcessSpawner(
            executable: ExecutablePath.current(), arguments: arguments, logDescriptor: log, hasOwnSession: true
        ).spawn()
        do {
            return try await waitUntilRunning(pid: pid)
        } catch {
            // Ours, and not reaped yet: the number is certain. It stops its children before it ends, which is bounded by
            // `Supervisor.stopDeadline`.
            kill(pid, SIGTERM)
            _ = await ProcessSpawner.wait(for: pid)
            throw error
        }
    }

    private func waitUntilRunning(pid: pid_t) async throws -> ClusterFile {
        let deadline = ContinuousClock.now + Self.startDeadline
        var told = Set<String>()
        while ContinuousClock.now < deadline {
            if let state = AtomicFile.read(SupervisorState.self, from: home.stateFile), state.supervisor.pid == pid {
                for name in state.started where told.insert("start " + name).inserted { report("starting \(name)") }
                for name in state.listening where told.insert("listen " + name).inserted { report("\(name) listens") }
                if state.phase == .failed {
                    throw CommandError(.startFailed, state.message ?? "the cluster did not start")
                }
                if state.phase == .running, let cluster = AtomicFile.read(ClusterFile.self, from: home.clusterFile) {
                    return cluster
                }
            }
            guard ProcessIdentity(runningPID: pid) != nil else {
                let state = AtomicFile.read(SupervisorState.self, from: home.stateFile)
                throw CommandError(
                    .startFailed,
                    state?.message ?? "the supervisor ended:\n"
                        + LogTail.lines(of: home.logFile("supervisor"), count: 8))
            }
            try await Task.sleep(for: .milliseconds(25))
        }
        throw CommandError(.timedOut, "the cluster did not start within \(Self.startDeadline)")
    }

    /// A port that is taken is named before anything is started.
    private func checkPorts() throws {
        guard !settings.shardsOnly else { return }
        for (flag, port) in [("--gateway-port", settings.gatewayPort), ("--monitor-port", settings.monitorPort)]
        where port != 0 {
            guard let problem = ListenCheck.problem(host: settings.host, port: port) else { continue }
            throw CommandError(
                .startFailed, "\(problem.isAboutPort ? flag : "--host"): \(problem)", cause: problem)
        }
    }

    private func checkExecutables() throws {
        let kinds = settings.shardsOnly ? ["shard"] : ["gateway", "shard", "store", "monitor"]
        for kind in kinds {
            let path = "\(settings.executableDirectory)/fathom-\(kind)"
            guard access(path, X_OK) == 0 else {
                throw CommandError(.startFailed, "\(path) is missing; build all executables with `make build`")
            }
        }
    }
}

/// Ends a cluster; what `fathom down` and `fathom up` share.
enum ClusterStopper {
    /// Longest wait for an orderly end; a little more than the supervisor allows its children.
    static let deadline = Supervisor.stopDeadline * 2 + .seconds(5)

    /// Asks the supervisor to stop, waits, and kills what is left of what it started.
    ///
    /// - Returns: Whether it ended in time by itself.
    @discardableResult
    static func stop(supervisor: ProcessIdentity, home: HomeDirectory) async -> Bool {
        supervisor.send(SIGTERM)
        let limit = ContinuousClock.now + deadline
        while supervisor.isRunning, ContinuousClock.now < limit { try? await Task.sleep(for: .milliseconds(50)) }
        guard supervisor.isRunning else { return true }
        let children = AtomicFile.read(SupervisorState.self, from: home.stateFile)?.children ?? []
        supervisor.send(SIGKILL)
        // The kernel kills them with their parent; this is for kernels without parent-death signals.
        for child in children { child.send(SIGKILL) }
        unlink(home.clusterFile)
        return false
    }
}
