import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import ServiceSupport
import Wire

/// The monitor process: receives reports on the wire port, keeps an hour of them, and shows them over HTTP.
package struct MonitorServer: Sendable {
    /// What the process runs, in the order of starting.
    package let services: [any Service]
    /// What the monitor knows.
    package let state: ClusterState

    /// Assembles the monitor; nothing listens before its services run.
    package init(_ configuration: MonitorConfiguration, process: ServiceProcess) {
        let state = ClusterState(limits: configuration.limits)
        var router = RPCRouter()
        MonitorRPCs(state: state, limits: configuration.limits).add(to: &router)
        let wire = process.makeWireServer(router)
        process.metrics.gauge("fathom_monitor_members", help: "Processes in the monitor's table.") {
            state.read { model, _ in Double(model.members.count) }
        }
        let http = MonitorHTTPServer(
            configuration,
            routes: MonitorRoutes(
                state: state, metrics: process.metrics,
                hosts: AllowedHosts(boundHost: configuration.httpHost, names: configuration.allowedHosts)),
            settings: process.configuration, logger: process.logging.logger("http"))
        self.state = state
        services = [
            MonitorTicker(
                process: process, state: state, interval: .milliseconds(configuration.limits.intervalMilliseconds)),
            wire, http, MonitorAnnouncement(process: process, wire: wire, http: http),
        ]
    }
}

/// Once an interval: reports the monitor to itself and adds a row to the history.
private struct MonitorTicker: Service {
    let process: ServiceProcess
    let state: ClusterState
    let interval: Duration

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var key: String?
            while !Task.isCancelled {
                key = state.receive(process.reportSource.report(), key: key)
                state.tick()
                try? await Task.sleep(for: interval)
            }
        }
    }
}

/// Announces the process when both ports listen.
private struct MonitorAnnouncement: Service {
    let process: ServiceProcess
    let wire: WireServer
    let http: MonitorHTTPServer

    func run() async throws {
        // A server that cannot listen says so itself, better than whoever waits for it.
        guard let address = try? await wire.boundAddress(), let httpPort = try? await http.boundPort() else {
            try? await gracefulShutdown()
            return
        }
        process.identity.setAttribute("http.port", "\(httpPort)")
        process.health.set(serving: true)
        try process.announceListening(host: address.host, port: address.port, extra: ["http_port": httpPort])
        try? await gracefulShutdown()
    }
}
