import Hummingbird
import HummingbirdCore
import HummingbirdHTTP2
import Identity
import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle
import ServiceSupport
import Wire

/// The public edge of the cluster: OpenAI's API over HTTP/1.1 and HTTP/2 in front of a replica group and a store.
///
/// Without TLS one port speaks HTTP/1.1 and HTTP/2 with prior knowledge; with TLS the protocol is agreed on by ALPN.
package struct Gateway: Sendable {
    /// The parts of a gateway that come from outside.
    package struct Dependencies: Sendable {
        package var inference: WireClient
        /// nil: no files, vector stores, embeddings and file search.
        package var store: WireClient?
        package var metrics: MetricsRegistry
        package var health: HealthState
        package var logger: Logger

        package init(
            inference: WireClient, store: WireClient?, metrics: MetricsRegistry, health: HealthState, logger: Logger
        ) {
            self.inference = inference
            self.store = store
            self.metrics = metrics
            self.health = health
            self.logger = logger
        }
    }

    /// What the gateway calls itself in `Server`.
    static let serverName = "fathom"
    /// Longest list of connections that wait to be accepted.
    private static let backlog = 512
    /// Descriptors kept for everything but connections of clients: calls, uploads on disk, logs.
    private static let reservedDescriptors = 512

    private let configuration: GatewayConfiguration
    private let dependencies: Dependencies
    private let readiness: ReadinessMonitor
    private let keyFileMonitor: KeyFileMonitor
    private let metrics: GatewayMetrics
    private let responder: GatewayResponder
    private let operational: OperationalRoutes

    /// Reads the keys and the cache secret; connects to nothing yet.
    ///
    /// - Throws: `IdentityError` or `GatewayError` for files that cannot be used.
    package init(_ configuration: GatewayConfiguration, _ dependencies: Dependencies) throws {
        self.configuration = configuration
        self.dependencies = dependencies
        let namespaces = try CacheNamespaces(directory: configuration.stateDirectory)
        let keys = try KeyStore(path: configuration.keyFilePath)
        metrics = GatewayMetrics(dependencies.metrics)
        let inference = InferenceClient(dependencies.inference)
        let store = dependencies.store.map { StoreClient($0) }
        let logger = dependencies.logger
        readiness = ReadinessMonitor(
            inference: inference, configuration: configuration, metrics: metrics, health: dependencies.health,
            logger: logger)
        keyFileMonitor = KeyFileMonitor(keys: keys, metrics: metrics, logger: logger)
        guard let cors = CORSPolicy(origins: configuration.corsAllowedOrigins) else {
            throw GatewayError(code: .invalidConfiguration, message: "an allowed origin is no origin")
        }
        let router = Router(context: GatewayContext.self)
        let routes = RouteTable()
        let requestCount = configuration.maximumConcurrentRequests
        router.add(
            middleware: RequestMiddleware(
                keys: keys, limiter: RequestLimiter(limit: requestCount),
                bodyBudget: ByteBudget(limit: requestCount * configuration.maximumBodySize),
                uploadBudget: ByteBudget(limit: requestCount * configuration.maximumUploadSize), routes: routes,
                cors: cors, metrics: metrics, logger: logger))
        let generation = GenerationService(
            inference: inference,
            cache: ResponseCache(
                maximumEntryCount: configuration.cacheEntryCount, maximumCost: configuration.cacheSize),
            metrics: metrics, logger: logger, deadline: configuration.requestDeadline,
            pingInterval: configuration.http.pingInterval)
        CompletionRoutes(
            configuration: configuration, generation: generation, readiness: readiness, namespaces: namespaces,
            store: store
        ).add(to: router)
        operational = OperationalRoutes(
            readiness: readiness, keys: keys, metrics: metrics, hasStore: store != nil)
        operational.add(to: router)
        EmbeddingRoutes(configuration: configuration, store: store, readiness: readiness).add(to: router)
        if let store {
            FileRoutes(configuration: configuration, store: store).add(to: router)
            VectorStoreRoutes(configuration: configuration, store: store).add(to: router)
        }
        routes.set(router.routes)
        responder = GatewayResponder(router: router.buildResponder())
    }

    /// What a process runs: the readiness poll, the look at the key file, and the HTTP server.
    ///
    /// - Parameters:
    ///   - onListening: told the bound port once, when requests are taken.
    /// - Throws: what the TLS files throw.
    package func services(onListening: @escaping @Sendable (_ port: Int) async -> Void) throws -> [any Service] {
        [readiness, keyFileMonitor, try application(onListening: onListening)]
    }

    /// The server of the port for probes; nil when there is none.
    func probeServer(_ settings: ServiceConfiguration) -> ProbeServer? {
        configuration.probePort.map {
            ProbeServer(
                host: configuration.host, port: $0, routes: operational, settings: settings, logger: hummingbirdLogger)
        }
    }

    private func application(onListening: @escaping @Sendable (Int) async -> Void) throws -> some ApplicationProtocol {
        Application(
            responder: responder, server: try server(),
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port), serverName: Self.serverName,
                backlog: Self.backlog,
                availableConnectionsDelegate: MaximumAvailableConnections(
                    connectionLimit(), logger: hummingbirdLogger)),
            onServerRunning: { channel in await onListening(channel.localAddress?.port ?? 0) },
            logger: hummingbirdLogger)
    }

    /// As many connections as are wanted, or fewer where the process may not open as many descriptors: a server that runs
    /// out of them can neither accept nor call anybody.
    private func connectionLimit() -> Int {
        let wanted = configuration.http.maximumConnections
        let limit = Self.connectionLimit(wanted: wanted, descriptors: Int(ProcessMetrics.maxFileDescriptors()))
        if limit < wanted {
            dependencies.logger.warning(
                "Fewer connections than configured: the descriptor limit is low",
                metadata: ["connections.max": "\(limit)", "connections.wanted": "\(wanted)"])
        }
        return limit
    }

    /// - Parameters:
    ///   - descriptors: that the process may open; 0 when nobody knows.
    package static func connectionLimit(wanted: Int, descriptors: Int) -> Int {
        descriptors > 0 ? min(wanted, max(1, descriptors - reservedDescriptors)) : wanted
    }

    /// Hummingbird logs a line for each thing that goes wrong on a connection; only what it warns of is ours to know.
    private var hummingbirdLogger: Logger {
        var logger = dependencies.logger
        logger.logLevel = max(logger.logLevel, .warning)
        return logger
    }

    private func server() throws -> HTTPServerBuilder {
        let limits = configuration.http
        let idleTimeout = configuration.idleTimeout
        let tls = try configuration.tls.map { try NIOSSLContext(configuration: try ServerTLS.configuration($0)) }
        let streams = HTTP1Channel.Configuration(
            additionalChannelHandlers: [ClientGoneHandler(), ExchangeHandler(limits)],
            idleTimeout: TimeAmount(idleTimeout))
        let http2 = HTTP2Channel.Configuration(
            idleTimeout: idleTimeout, gracefulCloseTimeout: limits.goodbyeTimeout, streamConfiguration: streams)
        return HTTPServerBuilder { [metrics] responder in
            PublicChannel(
                tls: tls,
                http1: HTTP1ServerChannel(
                    responder: responder, limits: limits, idleTimeout: idleTimeout,
                    onRefusal: { metrics.countRefused(status: $0.status) }),
                http2: HTTP2Channel(responder: responder, configuration: http2))
        }
    }
}
