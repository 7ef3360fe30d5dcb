import NIOCore
import NIOPosix
import SwiftProtobuf
import Synchronization
import Testing
import Wire

@Suite(.timeLimit(.minutes(1)))
struct ConnectionLifecycleTests {
    private static func echoRouter() -> RPCRouter {
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in request }
        return router
    }

    /// A loopback address no other test listens on: a port that was free here a moment ago still is.
    private static let ownHost = "127.0.0.77"

    private static func makeClient(
        host: String = "127.0.0.1", port: Int,
        _ configuration: WireClientConfiguration = WireClientConfiguration(minBackoff: .milliseconds(5))
    ) -> WireClient {
        WireClient(target: .address(host: host, port: port), configuration: configuration, logger: quietLogger)
    }

    @Test("graceful shutdown lets calls in flight finish, refuses new ones and returns")
    func drain() async throws {
        let started = Signal<Void>()
        let release = Signal<Void>()
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in
            started.send()
            _ = try await release.next()
            return request
        }
        let server = WireServer(router: router, logger: quietLogger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            let port = try await server.boundAddress().port
            let client = Self.makeClient(port: port)
            let call = Task { try await client.unary(TestService.echo, text("last")) }
            try await started.next()
            server.beginGracefulShutdown()
            await eventually("the client hears GO_AWAY") { !client.isConnected }
            let error = await rpcError {
                _ = try await client.unary(
                    TestService.echo, text("late"), options: CallOptions(timeout: .milliseconds(100)))
            }
            #expect([.unavailable, .deadlineExceeded].contains(error?.code))
            release.send()
            #expect(try await call.value.value == "last")
            try await group.waitForAll()
            #expect(server.activeConnections == 0)
            #expect(server.activeHandlers == 0)
            await client.close()
        }
    }

    @Test("a drain that takes too long cancels what is left")
    func drainTimeout() async throws {
        let started = Signal<Void>()
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in
            started.send()
            let never = AsyncStream<Void> { _ in }
            for await _ in never {}
            return request
        }
        let server = WireServer(
            configuration: WireServerConfiguration(drainTimeout: .milliseconds(50)), router: router,
            logger: quietLogger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            let client = Self.makeClient(port: try await server.boundAddress().port)
            let call = Task { try await client.unary(TestService.echo, text("")) }
            try await started.next()
            server.beginGracefulShutdown()
            let error = await rpcError { _ = try await call.value }
            #expect(error?.code == .unavailable)
            try await group.waitForAll()
            await client.close()
        }
    }

    @Test("a client finds a restarted server by itself")
    func reconnect() async throws {
        let first = try await withServer(
            Self.echoRouter(), configuration: WireServerConfiguration(host: Self.ownHost)
        ) { _, port in
            let client = Self.makeClient(host: Self.ownHost, port: port)
            _ = try await client.unary(TestService.echo, text("one"))
            return (client, port)
        }
        let (client, port) = first
        await eventually("the loss is noticed") { !client.isConnected }
        try await withServer(
            Self.echoRouter(), configuration: WireServerConfiguration(host: Self.ownHost, port: port)
        ) { _, _ in
            let response = try await client.unary(
                TestService.echo, text("two"), options: CallOptions(timeout: .seconds(20)))
            #expect(response.value == "two")
        }
        await client.close()
    }

    @Test("calls in flight fail with UNAVAILABLE at once when the server dies")
    func serverDies() async throws {
        let started = Signal<Void>()
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in
            started.send()
            let never = AsyncStream<Void> { _ in }
            for await _ in never {}
            return request
        }
        let (client, call) = try await withServer(router) { _, port in
            let client = Self.makeClient(port: port)
            let call = Task { try await client.unary(TestService.echo, text("")) }
            try await started.next()
            return (client, call)
        }
        let error = await rpcError { _ = try await call.value }
        #expect(error?.code == .unavailable)
        await client.close()
    }

    @Test("a refused connection fails fast without waitForReady, and at the connect timeout with it")
    func refused() async throws {
        let port = try await withServer(
            RPCRouter(), configuration: WireServerConfiguration(host: Self.ownHost)
        ) { _, port in port }
        let client = Self.makeClient(
            host: Self.ownHost, port: port,
            WireClientConfiguration(connectTimeout: .milliseconds(200), minBackoff: .milliseconds(5)))
        for waitForReady in [false, true] {
            let error = await rpcError {
                _ = try await client.unary(
                    TestService.echo, text(""), options: CallOptions(waitForReady: waitForReady))
            }
            #expect(error?.code == .unavailable)
            #expect(error?.isUnprocessed == true)
        }
        let error = await rpcError {
            _ = try await client.unary(TestService.echo, text(""), options: CallOptions(timeout: .milliseconds(20)))
        }
        #expect(error?.code == .deadlineExceeded)
        await client.close()
        let closed = await rpcError { _ = try await client.unary(TestService.echo, text("")) }
        #expect(closed?.code == .cancelled)
    }

    @Test("a list of endpoints is tried in order, and a name is resolved")
    func failover() async throws {
        let dead = try await withServer(
            RPCRouter(), configuration: WireServerConfiguration(host: Self.ownHost)
        ) { _, port in port }
        try await withServer(Self.echoRouter()) { _, port in
            for target in ["\(Self.ownHost):\(dead),127.0.0.1:\(port)", "dns:localhost:\(port)", "localhost:\(port)"] {
                let client = WireClient(
                    target: try WireTarget(parsing: target),
                    configuration: WireClientConfiguration(connectTimeout: .seconds(20)), logger: quietLogger)
                #expect(try await client.unary(TestService.echo, text("x")).value == "x")
                await client.close()
            }
        }
    }

    @Test("closing the client ends calls with CANCELLED")
    func closeClient() async throws {
        let started = Signal<Void>()
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in
            started.send()
            let never = AsyncStream<Void> { _ in }
            for await _ in never {}
            return request
        }
        try await withServer(router) { server, port in
            let client = Self.makeClient(port: port)
            let call = Task { try await client.unary(TestService.echo, text("")) }
            try await started.next()
            await client.close()
            let error = await rpcError { _ = try await call.value }
            #expect(error?.code == .cancelled)
            await eventually("handlers end") { server.activeHandlers == 0 }
        }
    }

    @Test("a silent peer is pinged, then cut off; one that answers stays")
    func liveness() async throws {
        let limits = WireLimits(pingInterval: .milliseconds(50), deadAfter: .seconds(1))
        try await withServer(
            Self.echoRouter(), configuration: WireServerConfiguration(limits: limits)
        ) { _, port in
            let silent = try await PlainPeer.connect(port: port)
            let polite = try await PlainPeer.connect(port: port)
            try await silent.handshake()
            try await polite.handshake()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    // Ends with the answer to the call below.
                    while let frame = try await polite.next() {
                        if case .ping(let token) = frame { polite.send(.pong(token: token)) }
                        if case .status = frame { return }
                    }
                    Issue.record("the connection ended although its pings were answered")
                }
                var pings = 0
                var end: Frame.GoAway?
                while end == nil, let frame = try await silent.next() {
                    if case .ping = frame { pings += 1 }
                    if case .goAway(let goAway) = frame { end = goAway }
                }
                #expect(pings >= 1)
                #expect(end?.reason == .idle)
                // The polite one lived as long: it is still answered.
                polite.send(
                    .open(
                        stream: 1, Frame.Open(method: TestService.echo.fullName),
                        Frame.Payload(message: ByteBuffer()), endStream: true))
                try await group.waitForAll()
                await silent.close()
                await polite.close()
            }
        }
    }

    @Test("a peer that never says HELLO is cut off")
    func handshakeTimeout() async throws {
        let limits = WireLimits(handshakeTimeout: .milliseconds(50))
        try await withServer(
            Self.echoRouter(), configuration: WireServerConfiguration(limits: limits)
        ) { server, port in
            let peer = try await PlainPeer.connect(port: port)
            guard case .hello = try await peer.next(), case .goAway(let goAway) = try await peer.next() else {
                Issue.record("expected HELLO and GO_AWAY")
                return
            }
            #expect(goAway.reason == .idle)
            await peer.close()
            await eventually("the table is empty") { server.activeConnections == 0 }
        }
    }

    @Test("more streams than the limit are refused one by one")
    func streamLimit() async throws {
        let started = Signal<Void>()
        let release = Signal<Void>()
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in
            started.send()
            _ = try await release.next()
            return request
        }
        try await withServer(
            router, configuration: WireServerConfiguration(limits: WireLimits(maxStreams: 1))
        ) { _, port in
            let peer = try await PlainPeer.connect(port: port)
            try await peer.handshake()
            let open = Frame.Open(method: TestService.echo.fullName)
            let payload = Frame.Payload(message: ByteBuffer())
            peer.send(.open(stream: 1, open, payload, endStream: true))
            try await started.next()
            peer.send(.open(stream: 3, open, payload, endStream: true))
            guard case .status(3, let status, nil) = try await peer.next() else {
                Issue.record("expected STATUS of stream 3")
                return
            }
            #expect(status.code == .resourceExhausted)
            release.send()
            guard case .status(1, let first, _) = try await peer.next() else {
                Issue.record("expected STATUS of stream 1")
                return
            }
            #expect(first.code == .ok)
            await peer.close()
        }
    }

    @Test("one connection too many is closed, the others stay")
    func connectionLimit() async throws {
        try await withServer(
            Self.echoRouter(), configuration: WireServerConfiguration(maxConnections: 1)
        ) { _, port in
            let client = Self.makeClient(port: port)
            _ = try await client.unary(TestService.echo, text("x"))
            let peer = try await PlainPeer.connect(port: port)
            #expect(try await peer.next() == nil)
            _ = try await client.unary(TestService.echo, text("x"))
            await client.close()
        }
    }

    @Test("an address in use is an error of run() and of boundAddress()")
    func addressInUse() async throws {
        try await withServer(Self.echoRouter()) { _, port in
            let second = WireServer(
                configuration: WireServerConfiguration(port: port), router: RPCRouter(), logger: quietLogger)
            let error = await rpcError { try await second.run() }
            #expect(error?.code == .unavailable)
            let addressError = await rpcError { _ = try await second.boundAddress() }
            #expect(addressError?.code == .unavailable)
        }
    }
}
