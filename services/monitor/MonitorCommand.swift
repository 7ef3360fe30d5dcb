import ArgumentParser
import MonitorServer
import ServiceSupport

@main
struct MonitorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fathom-monitor",
        abstract: "Collects health and metrics of a Fathom cluster and shows them on a page.",
        version: FathomVersion.current)

    @OptionGroup var common: CommonOptions

    @Option(name: .customLong("http-host"), help: "Address of the page and of /metrics (default: that of --host).")
    var httpHost: String?

    @Option(name: .customLong("http-port"), help: "Port of the page and of /metrics (default 7301); 0 takes any.")
    var httpPort: Int?

    @Option(
        name: .customLong("allowed-hosts"),
        help: "Names under which the page may be asked for, separated by commas (default: loopback and its address).")
    var allowedHosts: String?

    @Option(help: "How often services report, such as 1s.")
    var interval: String?

    @Option(name: .customLong("max-members"), help: "Most processes shown at once (default 64).")
    var maxMembers: Int?

    func run() async throws {
        try await ServiceRunner.main(
            "monitor", options: common,
            flags: [
                "http-host": httpHost, "http-port": httpPort, "allowed-hosts": allowedHosts, "interval": interval,
                "max-members": maxMembers,
            ],
            defaultPort: MonitorConfiguration.defaultPort, describe: { _ = try MonitorConfiguration($0) }
        ) { process in
            try MonitorServer(MonitorConfiguration(process.configuration), process: process).services
        }
    }
}
