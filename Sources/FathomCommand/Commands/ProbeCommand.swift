import ArgumentParser
import Logging
import Wire

/// `fathom probe`: for Kubernetes, which can run a program but does not speak the wire.
struct ProbeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe", abstract: "Asks a process for its health; exit status 0 when it serves, 1 otherwise.")

    @Option(help: "HOST:PORT of the process.")
    var address: String

    @Option(help: "Seconds to wait.")
    var timeout = 2.0

    func validate() throws {
        guard timeout > 0, timeout <= 600 else {
            throw ValidationError("--timeout is \(timeout); expected more than 0, at most 600")
        }
    }

    func run() async throws {
        guard let endpoint = try WireTarget(parsing: address).endpoints.first else {
            throw ValidationError("--address \(address); expected HOST:PORT")
        }
        let logger = Logger(label: "fathom", factory: { _ in SwiftLogNoOpLogHandler() })
        let (health, reason) = await HealthProbe.check(
            host: endpoint.host, port: endpoint.port, timeout: .milliseconds(Int64(timeout * 1000)), logger: logger)
        Terminal.write(reason.isEmpty ? "\(health)\n" : "\(health): \(reason)\n")
        if health != "serving" { throw ExitCode(1) }
    }
}
