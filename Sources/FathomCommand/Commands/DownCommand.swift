import ArgumentParser

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// `fathom down`.
struct DownCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "Ends the cluster of a home. Documents, keys and logs stay.")

    @OptionGroup var home: HomeOptions

    func run() async throws {
        let home = home.directory
        try home.checkOwner()
        guard home.isLive, let state = AtomicFile.read(SupervisorState.self, from: home.stateFile),
            state.supervisor.isRunning
        else {
            unlink(home.clusterFile)
            Terminal.note("No cluster runs in \(home.path).")
            return
        }
        if await ClusterStopper.stop(supervisor: state.supervisor, home: home) {
            Terminal.note("Stopped.")
        } else {
            Terminal.note("Stopped; it did not end by itself within \(ClusterStopper.deadline) and was killed.")
        }
    }
}
