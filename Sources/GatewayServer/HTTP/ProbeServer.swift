import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle
import ServiceSupport
import Synchronization
import Wire

/// The port for probes alone: `/livez`, `/readyz/gateway`, `/readyz` and `/metrics` in plaintext. Whoever probes, such as
/// a kubelet, knows no authority and has no certificate, whatever the API's own port asks for.
final class ProbeServer: Service {
    /// Connections served at once; more wait in the listener's queue.
    static let maximumConnectionCount = 64
    /// A connection that says nothing for so long gives its place back.
    static let idleTimeout = TimeAmount.seconds(90)

    private let host: String
    private let port: Int
    private let responder: RouterResponder<GatewayContext>
    private let settings: ServiceConfiguration
    private let logger: Logger
    private let isListening = Mutex(false)

    /// - Parameter settings: for naming the setting of a port that cannot be listened on.
    init(
        host: String, port: Int, routes: OperationalRoutes, settings: ServiceConfiguration, logger: Logger
    ) {
        self.host = host
        self.port = port
        self.settings = settings
        self.logger = logger
        let router = Router(context: GatewayContext.self)
        routes.addProbes(to: router)
        responder = router.buildResponder()
    }

    func run() async throws {
        let application = Application(
            responder: responder, server: .http1(configuration: .init(idleTimeout: Self.idleTimeout)),
            configuration: .init(
                address: .hostname(host, port: port), serverName: "fathom",
                availableConnectionsDelegate: MaximumAvailableConnections(Self.maximumConnectionCount, logger: logger)),
            onServerRunning: { [self] _ in isListening.withLock { $0 = true } }, logger: logger)
        do {
            try await application.run()
        } catch  where !isListening.withLock({ $0 }) {
            guard let cause = ListenError(host: host, port: port, error: error) else { throw error }
            throw settings.cannotListen(cause, hostKey: "host", portKey: "probe-port")
        }
    }
}
