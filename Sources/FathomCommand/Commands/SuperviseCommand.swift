import ArgumentParser
import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The process that `fathom up` leaves behind. Synchronous, so that it runs on the main thread before any other exists.
struct SuperviseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "supervise", abstract: "Runs the processes of a home (started by `fathom up`).",
        shouldDisplay: false)

    @Option var home: String
    @Option var parent: Int32?

    func run() throws {
        let home = HomeDirectory(path: home)
        try home.checkOwner()
        guard let lock = try home.lock() else {
            throw CommandError(.alreadyRunning, "a cluster runs in \(home.path) already")
        }
        defer { close(lock) }
        guard let settings = AtomicFile.read(ClusterSettings.self, from: home.settingsFile) else {
            throw CommandError(.startFailed, "\(home.settingsFile) cannot be read")
        }
        let apiKey = settings.shardsOnly ? nil : try DefaultKey.ensure(home)
        let supervisor = try Supervisor(
            home: home, settings: settings, launcher: ExecutablePath.current(), apiKey: apiKey, parent: parent)
        try supervisor.run()
    }
}

/// Where executables are.
enum ExecutablePath {
    /// This program, links resolved.
    static func current() -> String {
        let named =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return URL(fileURLWithPath: named).resolvingSymlinksInPath().path
    }

    /// The folder that this program and the services share.
    static func directory() -> String {
        URL(fileURLWithPath: current()).deletingLastPathComponent().path
    }
}
