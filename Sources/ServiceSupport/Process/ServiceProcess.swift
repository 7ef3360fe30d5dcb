import Foundation
import Logging
import ServiceLifecycle
import Synchronization
import Wire

/// What every process of the cluster is made of: settings, loggers, metrics, health and identity, and the services
/// that come with them. A main makes one, hands it to its server library, and runs what that gives back.
///
/// ```swift
/// try await ServiceRunner.main("store", options: common, flags: ["data": data], defaultPort: 7200) { process in
///     let server = try StoreServer(StoreConfiguration(process.configuration), process: process)
///     return server.services   // the first is started first and stopped last
/// }
/// ```
package final class ServiceProcess: Sendable {
    package let configuration: ServiceConfiguration
    package let identity: ServiceIdentity
    package let metrics = MetricsRegistry()
    package let health = HealthState()
    package let logging: LoggingBootstrap
    package let logger: Logger

    /// What the ready file says once the process listens.
    private struct Announcement {
        var host: String
        var port: Int
        var extra: [String: Int]
    }

    private let announcement = Mutex<Announcement?>(nil)

    /// Registers the process metrics; starts nothing.
    package init(_ configuration: ServiceConfiguration) {
        self.configuration = configuration
        let common = configuration.common
        identity = ServiceIdentity(kind: configuration.service, instance: common.instance)
        logging = LoggingBootstrap(
            service: configuration.service, instance: common.instance, level: common.logLevel)
        logger = logging.logger(configuration.service)
        ProcessMetrics.register(in: metrics, startedAt: identity.startedAt)
        health.onFirstServing { [weak self] in
            // A file that cannot be written now could be written when the process began to listen; that it served is
            // only a help to whoever restarts it.
            try? self?.announcement.withLock { try $0.map { try self?.writeReadyFile($0) } }
        }
    }

    /// File descriptors the process may have open.
    package var descriptorLimit: Int { DescriptorLimit.current }

    /// What reports to the monitor are made of.
    package var reportSource: ServiceReportSource {
        ServiceReportSource(identity: identity, health: health, metrics: metrics)
    }

    /// The wire server on the configured host and port, with the health rpc added to `router`. Put it into the list of
    /// services together with ``listening(_:extra:)``.
    package func makeWireServer(_ router: RPCRouter) -> WireServer {
        var router = router
        router.addHealth(health)
        let common = configuration.common
        return WireServer(
            configuration: WireServerConfiguration(
                host: common.host, port: common.port, tls: common.tls, drainTimeout: common.drainTimeout),
            router: router, logger: logging.logger("wire.server"))
    }

    /// A client to another service, with this process's TLS settings. It connects when first used.
    package func makeWireClient(_ target: WireTarget) -> WireClient {
        var clientConfiguration = WireClientConfiguration()
        clientConfiguration.tls = configuration.common.tls
        return WireClient(
            target: target, configuration: clientConfiguration, logger: logging.logger("wire.client"))
    }

    /// A service that waits until `server` listens, then announces its address. `extra` adds fields to the ready file.
    package func listening(_ server: WireServer, extra: [String: Int] = [:]) -> any Service {
        ListeningAnnouncement(process: self, server: server, extra: extra)
    }

    /// Says that the process listens: writes the ready file, if one is configured, sets the address of the cluster map
    /// and logs. Servers that are not wire servers call it themselves.
    package func announceListening(host: String, port: Int, extra: [String: Int] = [:]) throws {
        identity.address = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        try announcement.withLock { current in
            let new = Announcement(host: host, port: port, extra: extra)
            current = new
            try writeReadyFile(new)
        }
        logger.info("Listening", metadata: ["address": "\(identity.address)"])
    }

    private func writeReadyFile(_ announcement: Announcement) throws {
        guard let path = configuration.common.readyFilePath else { return }
        do {
            try ReadyFile.write(
                to: path, host: announcement.host, port: announcement.port, hasServed: health.hasServed,
                extra: announcement.extra)
        } catch {
            throw ConfigurationError(
                .invalidValue, "--ready-file \(path): cannot be written: \(error.localizedDescription)", cause: error)
        }
    }

    /// Runs `services` until SIGTERM, SIGINT or the first failure. Reports to the monitor, if one is configured, from
    /// before the first of them starts until after the last of them stopped.
    package func run(_ services: [any Service]) async throws {
        var all: [any Service] = []
        if let target = configuration.common.monitor {
            all.append(
                MonitorReporter(
                    source: reportSource, client: makeWireClient(target),
                    logger: logging.logger("monitor.reporter")))
        }
        all += services
        // Last started, first told to stop: the health says so before anything stops taking requests.
        all.append(DrainMarker(health: health, logger: logger))
        do {
            try await ServiceRunner.run(services: all, logger: logger, drainTimeout: configuration.common.drainTimeout)
        } catch {
            throw addressError(error) ?? error
        }
    }

    /// The error for an address that cannot be listened on, naming the setting that holds it; nil for other errors.
    private func addressError(_ error: any Error) -> ConfigurationError? {
        var cause = error
        while let next = (cause as? RPCError)?.cause { cause = next }
        let common = configuration.common
        return ListenError(host: common.host, port: common.port, error: cause).map {
            configuration.cannotListen($0, hostKey: "host", portKey: "port")
        }
    }
}

/// Announces a wire server's address once it listens, then idles until shutdown.
private struct ListeningAnnouncement: Service {
    let process: ServiceProcess
    let server: WireServer
    let extra: [String: Int]

    func run() async throws {
        let address = try await server.boundAddress()
        try process.announceListening(host: address.host, port: address.port, extra: extra)
        try? await gracefulShutdown()
    }
}

/// Marks the process as not serving the moment shutdown begins.
private struct DrainMarker: Service {
    let health: HealthState
    let logger: Logger

    func run() async throws {
        try? await gracefulShutdown()
        health.set(serving: false, reason: "shutting down")
        logger.info("Shutting down")
    }
}
