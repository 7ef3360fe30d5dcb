import Foundation
import ModelRegistry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Runs the processes of one cluster: starts them when what they need listens, restarts the dead on their old port,
/// keeps `cluster.json` true, and ends them all when it ends.
///
/// Single-threaded: one loop on the main thread waits for signals (a child died, somebody wants us to stop) and looks
/// at what is due. It never touches a process that it did not start.
package final class Supervisor {
    /// Longest a process may take to listen.
    package static let startDeadline = Duration.seconds(120)
    /// Longest wait for the gateway, then for all others, to end when asked; the rest is killed.
    package static let stopDeadline = Duration.seconds(8)

    /// One process and what became of it.
    private struct Child {
        let plan: ProcessPlan
        var policy = RestartPolicy()
        var identity: ProcessIdentity?
        var startedAt = ContinuousClock.now
        /// Earliest next start.
        var dueAt = ContinuousClock.now
        /// What it said at its latest start; nil until then.
        var announcement: ReadyAnnouncement?
        /// Ports of the first start, kept for all later ones.
        var port: Int
        var httpPort: Int?
        var hasListened = false
        var restarts = 0
        /// Size of its log when it was started last: what is before is of earlier runs.
        var logOffset: UInt64 = 0
        /// Whether it was ended because it did not listen in time.
        var wasTooSlow = false
    }

    private let home: HomeDirectory
    private let settings: ClusterSettings
    private let launcher: String
    private let apiKey: String?
    private let identity: ProcessIdentity
    /// When set, end as soon as this is no longer our parent.
    private let parent: pid_t?
    private let signals: SignalWaiter
    private let rotation = LogRotation()
    private var children: [Child]
    private var started: [String] = []
    private var lastCluster: ClusterFile?
    private var lastState: SupervisorState?
    /// Why the files that describe the cluster are not up to date; nil when they are.
    private var publishProblem: String?

    /// - Parameters:
    ///   - launcher: Path of the `fathom` executable, see ``ChildLauncher``.
    ///   - apiKey: The plain key to note in `cluster.json`.
    ///   - parent: Process whose end ends the cluster; nil runs detached.
    /// - Throws: ``CommandError`` when this process cannot be found in `/proc`.
    package init(
        home: HomeDirectory, settings: ClusterSettings, launcher: String, apiKey: String?, parent: pid_t?
    ) throws {
        self.home = home
        self.settings = settings
        self.launcher = launcher
        self.apiKey = apiKey
        self.parent = parent
        guard let identity = ProcessIdentity(runningPID: getpid()) else {
            throw CommandError(.startFailed, "cannot read /proc/\(getpid())/stat")
        }
        self.identity = identity
        children = ClusterPlan.processes(settings, home: home).map {
            Child(plan: $0, port: $0.port, httpPort: $0.httpPort)
        }
        signals = SignalWaiter([SIGCHLD, SIGTERM, SIGINT, SIGHUP])
    }

    /// Runs until asked to stop.
    ///
    /// - Throws: ``CommandError`` `startFailed` when the cluster did not come up; everything is stopped then.
    package func run() throws {
        var nextRotation = ContinuousClock.now
        do {
            while true {
                try startDueChildren()
                try readAnnouncements()
                try publishIfPossible()
                if ContinuousClock.now >= nextRotation {
                    for child in children { rotation.rotateIfNeeded(home.logFile(child.plan.name)) }
                    rotation.rotateIfNeeded(home.logFile("supervisor"))
                    nextRotation = .now + .seconds(5)
                }
                switch signals.next(timeout: pause()) {
                case SIGTERM, SIGINT, SIGHUP:
                    stop(phase: .stopping, message: nil)
                    return
                case SIGCHLD: break
                default: break
                }
                try reapChildren()
                if let parent, getppid() != parent {
                    stop(phase: .stopping, message: "fathom up has ended")
                    return
                }
            }
        } catch {
            stop(phase: .failed, message: "\(error)")
            throw error
        }
    }

    // MARK: Starting

    private func startDueChildren() throws {
        let now = ContinuousClock.now
        for index in children.indices where children[index].identity == nil && children[index].dueAt <= now {
            let child = children[index]
            guard
                let line = child.plan.commandLine(
                    addresses: addresses, port: child.port, httpPort: child.httpPort, home: home)
            else { continue }
            unlink(home.readyFile(child.plan.name))
            let log = try home.openLog(child.plan.name)
            defer { close(log) }
            children[index].logOffset = LogTail.size(of: home.logFile(child.plan.name))
            children[index].wasTooSlow = false
            let spawner = ProcessSpawner(
                executable: launcher,
                arguments: ChildLauncher.arguments(
                    parent: getpid(), executable: child.plan.executable, arguments: line),
                logDescriptor: log, hasOwnGroup: true)
            let pid = try spawner.spawn()
            // Not reaped yet, so the number is certainly still this child's, even if it died at once.
            children[index].identity = ProcessIdentity(runningPID: pid) ?? ProcessIdentity(pid: pid, startTicks: 0)
            children[index].announcement = nil
            children[index].startedAt = now
            if child.hasListened { children[index].restarts += 1 } else { started.append(child.plan.name) }
        }
    }

    /// "host:port" of every process that has listened; a restarted one will listen there again.
    private var addresses: [String: String] {
        Dictionary(
            uniqueKeysWithValues: children.filter(\.hasListened).map {
                ($0.plan.name, HostPort.format(host: HostPort.reachable(settings.host), port: $0.port))
            })
    }

    private func readAnnouncements() throws {
        for index in children.indices {
            let child = children[index]
            guard child.announcement == nil, let identity = child.identity else { continue }
            if let announcement = AtomicFile.read(ReadyAnnouncement.self, from: home.readyFile(child.plan.name)),
                announcement.pid == identity.pid
            {
                children[index].announcement = announcement
                children[index].port = announcement.port
                if child.httpPort != nil { children[index].httpPort = announcement.httpPort ?? child.httpPort }
                children[index].hasListened = true
            } else if child.startedAt.duration(to: .now) > Self.startDeadline {
                // One that hangs is ended, and then treated like one that died.
                children[index].wasTooSlow = true
                kill(identity.pid, SIGKILL)
            }
        }
    }

    private func reapChildren() throws {
        for index in children.indices {
            guard let identity = children[index].identity else { continue }
            var status: Int32 = 0
            guard waitpid(identity.pid, &status, WNOHANG) == identity.pid else { continue }
            let child = children[index]
            children[index].identity = nil
            children[index].announcement = nil
            let name = child.plan.name
            let end = describeEnd(of: child, ProcessSpawner.exitStatus(status))
            guard child.hasListened else {
                throw CommandError(.startFailed, "\(name) did not start: \(end)\nIts log is \(home.logFile(name)).")
            }
            let delay = children[index].policy.delay(
                afterLifetime: child.startedAt.duration(to: .now), hasServed: hasServed(child, identity))
            children[index].dueAt = .now + delay
            note("\(name) starts again in \(delay): \(end)")
        }
    }

    /// Why a child ended: in its own words, or what the system says and the end of its log.
    private func describeEnd(of child: Child, _ exitStatus: Int32) -> String {
        let log = home.logFile(child.plan.name)
        if child.wasTooSlow { return "it did not listen within \(Self.startDeadline)" }
        if let error = LogTail.lastError(of: log, after: child.logOffset) { return error }
        let end = "it \(ExitText.format(exitStatus))"
        // A signal from outside explains itself; whoever ends by himself without a reason may have said something.
        guard exitStatus <= 128 else { return end }
        return "\(end), and said last:\n" + LogTail.lines(of: log, after: child.logOffset, count: 8)
    }

    /// Whether a child that ended was able to do its work before; it says so in its ready file.
    private func hasServed(_ child: Child, _ identity: ProcessIdentity) -> Bool {
        let said = AtomicFile.read(ReadyAnnouncement.self, from: home.readyFile(child.plan.name))
        return said?.pid == identity.pid && said?.served == true
    }

    /// How long nothing is due. While somebody is starting, its ready file is looked for often.
    private func pause() -> Duration {
        let now = ContinuousClock.now
        var pause = Duration.seconds(1)
        for child in children {
            if child.identity == nil {
                pause = min(pause, max(now.duration(to: child.dueAt), .milliseconds(5)))
            } else if child.announcement == nil {
                pause = min(pause, .milliseconds(10))
            }
        }
        return pause
    }

    // MARK: Telling

    /// A disk that is full for a while must not end a cluster that runs: what could not be written is tried again.
    private func publishIfPossible() throws {
        do {
            try publish()
            publishProblem = nil
        } catch let error as CommandError where children.allSatisfy(\.hasListened) {
            if error.message != publishProblem { note(error.message) }
            publishProblem = error.message
        }
    }

    private func publish() throws {
        let isComplete = children.allSatisfy(\.hasListened)
        let state = SupervisorState(
            supervisor: identity, phase: isComplete ? .running : .starting, message: nil, started: started,
            listening: children.filter { $0.announcement != nil }.map(\.plan.name),
            children: children.compactMap(\.identity))
        if isComplete {
            let cluster = makeClusterFile()
            if cluster != lastCluster {
                try AtomicFile.write(json: cluster, to: home.clusterFile)
                lastCluster = cluster
            }
        }
        if state != lastState {
            try AtomicFile.write(json: state, to: home.stateFile)
            lastState = state
        }
    }

    private func makeClusterFile() -> ClusterFile {
        let host = HostPort.reachable(settings.host)
        func url(_ port: Int?) -> String? { port.map { "http://" + HostPort.format(host: host, port: $0) } }
        return ClusterFile(
            gatewayURL: url(children.first { $0.plan.kind == "gateway" }?.port),
            monitorURL: url(children.first { $0.plan.kind == "monitor" }?.httpPort),
            apiKey: apiKey, tenant: DefaultKey.tenant, model: settings.models[0].name,
            modelPath: settings.models[0].path,
            models: settings.models.map(\.name),
            encoder: settings.shardsOnly ? nil : URL(fileURLWithPath: settings.encoderPath).lastPathComponent,
            supervisor: identity,
            processes: children.map { child in
                ClusterFile.Member(
                    name: child.plan.name, kind: child.plan.kind, pid: child.identity?.pid ?? 0,
                    startTicks: child.identity?.startTicks ?? 0, host: host, port: child.port,
                    httpPort: child.httpPort, restarts: child.restarts)
            })
    }

    /// One line in the supervisor's own log, which is our standard error.
    private func note(_ text: String) {
        let line = "\(Date().formatted(.iso8601)) supervisor \(text)\n"
        FileHandle.standardError.write(Data(line.utf8))
    }

    // MARK: Stopping

    private func stop(phase: SupervisorState.Phase, message: String?) {
        note(message.map { "stopping: \($0)" } ?? "stopping")
        unlink(home.clusterFile)
        publishEnd(phase, message)
        // The gateway first: what it still serves needs the others.
        end(children.indices.filter { children[$0].plan.kind == "gateway" })
        end(Array(children.indices))
        for child in children { unlink(home.readyFile(child.plan.name)) }
        publishEnd(phase, message)
    }

    private func publishEnd(_ phase: SupervisorState.Phase, _ message: String?) {
        let state = SupervisorState(
            supervisor: identity, phase: phase, message: message, started: started, listening: [],
            children: children.compactMap(\.identity))
        // Nothing better can be done about a full disk while stopping.
        try? AtomicFile.write(json: state, to: home.stateFile)
    }

    /// Asks the given children to end, waits, kills the rest, and waits for those.
    private func end(_ indices: [Int]) {
        for index in indices { if let identity = children[index].identity { kill(identity.pid, SIGTERM) } }
        let deadline = ContinuousClock.now + Self.stopDeadline
        while ContinuousClock.now < deadline, indices.contains(where: { children[$0].identity != nil }) {
            _ = signals.next(timeout: .milliseconds(50))
            reapWithoutRestart(indices, options: WNOHANG)
        }
        for index in indices { if let identity = children[index].identity { kill(identity.pid, SIGKILL) } }
        // A killed process ends unless the kernel itself hangs.
        reapWithoutRestart(indices, options: 0)
    }

    private func reapWithoutRestart(_ indices: [Int], options: Int32) {
        for index in indices {
            guard let identity = children[index].identity else { continue }
            var status: Int32 = 0
            if waitpid(identity.pid, &status, options) != 0 { children[index].identity = nil }
        }
    }
}
