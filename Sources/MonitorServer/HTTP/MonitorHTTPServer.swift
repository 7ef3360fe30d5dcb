import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle
import ServiceSupport
import Synchronization

/// The HTTP server of the page, bound to its own port.
final class MonitorHTTPServer: Service {
    /// Connections served at once; more wait in the listener's queue.
    static let maxConnections = 256

    private let configuration: MonitorConfiguration
    private let routes: MonitorRoutes
    private let logger: Logger
    private let ports: AsyncStream<Int>
    private let portsContinuation: AsyncStream<Int>.Continuation
    private let isListening = Mutex(false)

    init(_ configuration: MonitorConfiguration, routes: MonitorRoutes, logger: Logger) {
        self.configuration = configuration
        self.routes = routes
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
            router: routes.router(),
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
            let address = "\(configuration.httpHost):\(configuration.httpPort)"
            throw ConfigurationError(
                .invalidValue, "--http-port: \(address) cannot be bound: \(error)", cause: error)
        }
    }
}
