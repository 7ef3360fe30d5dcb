import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle
import ServiceSupport
import Synchronization
import Wire

/// The HTTP server of the page, bound to its own port.
final class MonitorHTTPServer: Service {
    /// Connections served at once; more wait in the listener's queue.
    static let maxConnections = 256
    /// A connection that says nothing for so long gives its place back.
    static let idleTimeout = TimeAmount.seconds(90)

    private let configuration: MonitorConfiguration
    private let routes: MonitorRoutes
    private let settings: ServiceConfiguration
    private let logger: Logger
    private let ports: AsyncStream<Int>
    private let portsContinuation: AsyncStream<Int>.Continuation
    private let isListening = Mutex(false)

    init(
        _ configuration: MonitorConfiguration, routes: MonitorRoutes, settings: ServiceConfiguration, logger: Logger
    ) {
        self.configuration = configuration
        self.routes = routes
        self.settings = settings
        self.logger = logger
        (ports, portsContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// The port, once the server listens. For one caller.
    ///
    /// - Throws: `CancellationError` when the server ended without listening.
    func boundPort() async throws -> Int {
        for await port in ports { return port }
        throw CancellationError()
    }

    func run() async throws {
        defer { portsContinuation.finish() }
        let application = Application(
            router: routes.router(), server: .http1(configuration: .init(idleTimeout: Self.idleTimeout)),
            configuration: .init(
                address: .hostname(configuration.httpHost, port: configuration.httpPort), serverName: "fathom-monitor",
                availableConnectionsDelegate: MaximumAvailableConnections(Self.maxConnections, logger: logger)),
            onServerRunning: { [self] channel in
                isListening.withLock { $0 = true }
                portsContinuation.yield(channel.localAddress?.port ?? 0)
            },
            logger: logger)
        do {
            try await application.run()
        } catch  where !isListening.withLock({ $0 }) {
            let (host, port) = (configuration.httpHost, configuration.httpPort)
            guard let cause = ListenError(host: host, port: port, error: error) else {
                throw ConfigurationError(
                    .invalidValue, "--http-port: \(host):\(port) cannot be listened on: \(error)", cause: error)
            }
            throw settings.cannotListen(cause, hostKey: "http-host", portKey: "http-port")
        }
    }
}
