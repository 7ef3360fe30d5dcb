import Logging
import NIOCore
import NIOPosix
import NIOSSL
import ServiceLifecycle
import Synchronization

/// Serves the methods of a router on one address.
///
/// `run()` binds, serves and returns after graceful shutdown: listening stops, every connection is told GO_AWAY, streams
/// get `drainTimeout` to finish, then they are cancelled. Cancelling the task of `run()` ends everything at once.
package final class WireServer: Service {
    private let configuration: WireServerConfiguration
    private let router: RPCRouter
    private let logger: Logger
    private let group: any EventLoopGroup
    private let address = AddressPromise()
    private let table: ConnectionTable

    /// - Parameters:
    ///   - eventLoopGroup: Where connections live; the process-wide one by default.
    package init(
        configuration: WireServerConfiguration = .init(), router: RPCRouter,
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, logger: Logger
    ) {
        self.configuration = configuration
        self.router = router
        self.logger = logger
        group = eventLoopGroup
        table = ConnectionTable(maxConnections: configuration.maxConnections)
    }

    /// Where the server listens. Waits for `run()` to bind.
    ///
    /// - Throws: `RPCError` UNAVAILABLE when binding failed or the server ended, CANCELLED when the task is cancelled.
    package func boundAddress() async throws -> (host: String, port: Int) {
        try await address.value()
    }

    /// Handlers of typed calls that run now, over all connections; for metrics.
    package var activeHandlers: Int { table.handlers.count }

    /// Connections that are open now; for metrics.
    package var activeConnections: Int { table.connectionCount }

    /// Binds and serves until graceful shutdown or cancellation. Call once.
    ///
    /// - Throws: `RPCError`: INVALID_ARGUMENT for unusable TLS files, UNAVAILABLE when the address cannot be bound.
    package func run() async throws {
        do {
            try await serve()
        } catch {
            address.fail(RPCError(.unavailable, "the server did not start", cause: error))
            throw error
        }
        address.fail(RPCError(.unavailable, "the server has ended"))
    }

    /// Begins a graceful shutdown, as the service group's signal does. `run()` returns when it is done.
    package func beginGracefulShutdown() {
        table.beginDrain(timeout: configuration.drainTimeout, on: group.any())
    }

    private func serve() async throws {
        let (calls, continuation) = AsyncStream.makeStream(of: ServerCall.self, bufferingPolicy: .unbounded)
        // Bounded all the same: each connection has at most `maxStreams` calls that are not finished.
        defer { continuation.finish() }
        let channel = try await bind { continuation.yield($0) }
        address.succeed(channel.localAddress)
        logger.info(
            "listening",
            metadata: [
                "server.address": "\(channel.localAddress?.description ?? configuration.host)",
                "tls": "\(configuration.tls != nil)",
            ])
        table.setListener(channel) { continuation.finish() }
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                await withDiscardingTaskGroup { tasks in
                    // Children are the handlers; the loop ends when the last connection of a shutdown is gone.
                    for await call in calls {
                        tasks.addTask { await call.run() }
                    }
                }
            } onGracefulShutdown: {
                self.beginGracefulShutdown()
            }
        } onCancel: {
            table.closeAll(RPCError(.unavailable, "the server was stopped"))
        }
        // The address is free when run() returns: whoever restarts the server can bind it again.
        try? await channel.close().get()
        try? await channel.closeFuture.get()
    }

    private func bind(_ submit: @escaping @Sendable (ServerCall) -> Void) async throws(RPCError) -> any Channel {
        let tls = try configuration.tls.map { configuration throws(RPCError) in try configuration.serverContext() }
        do {
            return try await ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 256)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.socketOption(.so_keepalive), value: 1)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .childChannelOption(.recvAllocator, value: ChannelSettings.receiveAllocator)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try self.configure(channel, tls: tls, submit: submit) }
                }
                .bind(host: configuration.host, port: configuration.port).get()
        } catch {
            let (host, port) = (configuration.host, configuration.port)
            throw RPCError(
                .unavailable, "\(host):\(port) cannot be bound",
                cause: ListenError(host: host, port: port, error: error) ?? error)
        }
    }

    private func configure(
        _ channel: any Channel, tls: NIOSSLContext?, submit: @escaping @Sendable (ServerCall) -> Void
    ) throws {
        let peerAddress = channel.remoteAddress?.description ?? "unknown"
        let acceptor = StreamAcceptor(
            router: router, limits: configuration.limits, table: table, eventLoop: channel.eventLoop,
            peerAddress: peerAddress, logger: logger, submit: submit)
        let id = ObjectIdentifier(channel)
        let handler = ConnectionHandler(
            role: .server, limits: configuration.limits, name: configuration.name, logger: logger,
            events: ConnectionEvents(
                ready: { acceptor.peerName = $0.peer }, accept: { acceptor.accept($0) },
                closed: { [table] _ in table.remove(id) }))
        let bound = NIOLoopBound(handler, eventLoop: channel.eventLoop)
        guard table.add(id, ConnectionTable.Entry(handler: bound, eventLoop: channel.eventLoop)) else {
            throw RPCError(.resourceExhausted, "the server has \(configuration.maxConnections) connections, its limit")
        }
        if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
        try channel.pipeline.syncOperations.addHandler(handler)
    }
}
