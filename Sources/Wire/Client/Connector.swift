import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// Keeps one connection to a target: connects when first asked, and again, with pauses, whenever it is lost.
///
/// ```
/// idle ──► connecting ──► ready ──(lost, GO_AWAY)──► connecting or backingOff
///              │  ▲
///    all failed▼  │pause over
///           backingOff                     any ──► closed
/// ```
final class Connector: Sendable {
    private enum Phase {
        /// Nobody asked yet.
        case idle
        /// Attempt `id` is under way.
        case connecting(id: UInt64)
        case ready(ClientConnection, since: ContinuousClock.Instant)
        /// Every endpoint failed, the last with the error.
        case backingOff(RPCError)
        case closed
    }

    private struct Waiter {
        var continuation: CheckedContinuation<ClientConnection, any Error>
        var waitForReady: Bool
        var timer: Scheduled<Void>
    }

    private struct State {
        var phase = Phase.idle
        var waiters: [UInt64: Waiter] = [:]
        var nextID: UInt64 = 0
        var backoff: Backoff
        /// Every channel that is open, draining ones included.
        var channels: [UInt64: any Channel] = [:]
    }

    /// A connection that is lost sooner than this counts as a failed attempt, so that a peer that accepts and hangs up
    /// is not called in a tight loop.
    private static let stableAfter = Duration.seconds(1)

    private let endpoints: [WireTarget.Endpoint]
    private let configuration: WireClientConfiguration
    private let eventLoop: any EventLoop
    private let logger: Logger
    private let tls: Result<NIOSSLContext, RPCError>?
    private let state: Mutex<State>

    init(target: WireTarget, configuration: WireClientConfiguration, eventLoop: any EventLoop, logger: Logger) {
        endpoints = target.endpoints
        self.configuration = configuration
        self.eventLoop = eventLoop
        self.logger = logger
        tls = configuration.tls.map { tls in Result { () throws(RPCError) in try tls.clientContext() } }
        state = Mutex(State(backoff: Backoff(minimum: configuration.minBackoff, maximum: configuration.maxBackoff)))
    }

    var isReady: Bool { readyConnection != nil }

    private var readyConnection: ClientConnection? {
        state.withLock { state in
            guard case .ready(let connection, _) = state.phase else { return nil }
            return connection
        }
    }

    // MARK: Callers

    /// The connection, waiting for it until `deadline` or `connectTimeout`.
    ///
    /// - Throws: UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED; INVALID_ARGUMENT for unusable TLS files.
    func connection(deadline: ContinuousClock.Instant?, waitForReady: Bool) async throws -> ClientConnection {
        if let connection = readyConnection { return connection }
        if case .failure(let error) = tls { throw error }
        let limit = ContinuousClock.now.advanced(by: configuration.connectTimeout)
        let isDeadline = deadline.map { $0 <= limit } ?? false
        let wait = ContinuousClock.now.duration(to: isDeadline ? deadline ?? limit : limit)
        let token = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                enqueue(token, continuation, waitForReady, wait: wait, isDeadline: isDeadline)
            }
        } onCancel: {
            failWaiter(token, RPCError(.cancelled, "the call was cancelled", isUnprocessed: true))
        }
    }

    private func enqueue(
        _ token: UInt64, _ continuation: CheckedContinuation<ClientConnection, any Error>, _ waitForReady: Bool,
        wait: Duration, isDeadline: Bool
    ) {
        enum Next {
            case resume(Result<ClientConnection, any Error>), connect(UInt64), wait
        }
        let timer = eventLoop.scheduleTask(in: TimeAmount(wait)) { self.timedOut(token, isDeadline: isDeadline) }
        let next: Next = state.withLock { state in
            if Task.isCancelled {
                return .resume(.failure(RPCError(.cancelled, "the call was cancelled", isUnprocessed: true)))
            }
            switch state.phase {
            case .ready(let connection, _): return .resume(.success(connection))
            case .closed: return .resume(.failure(Self.clientClosed))
            case .backingOff(let error) where !waitForReady: return .resume(.failure(error))
            case .idle, .connecting, .backingOff: break
            }
            state.waiters[token] = Waiter(continuation: continuation, waitForReady: waitForReady, timer: timer)
            guard case .idle = state.phase else { return .wait }
            return .connect(Self.beginAttempt(&state))
        }
        switch next {
        case .resume(let result):
            timer.cancel()
            continuation.resume(with: result)
        case .connect(let id): attempt(id, endpoint: 0)
        case .wait: break
        }
    }

    private func timedOut(_ token: UInt64, isDeadline: Bool) {
        let reason = state.withLock { state in
            if case .backingOff(let error) = state.phase { error.message } else { "no answer yet" }
        }
        let target = endpoints.map(\.description).joined(separator: ",")
        failWaiter(
            token,
            isDeadline
                ? RPCError(
                    .deadlineExceeded, "no connection to \(target) before the deadline (\(reason))", isUnprocessed: true
                )
                : RPCError(
                    .unavailable, "no connection to \(target) within \(configuration.connectTimeout) (\(reason))",
                    isUnprocessed: true))
    }

    private func failWaiter(_ token: UInt64, _ error: RPCError) {
        guard let waiter = state.withLock({ $0.waiters.removeValue(forKey: token) }) else { return }
        waiter.timer.cancel()
        waiter.continuation.resume(throwing: error)
    }

    /// Ends everything and waits until the channels are closed. Calls in flight fail with CANCELLED.
    func close() async {
        for channel in beginClose() { try? await channel.closeFuture.get() }
    }

    /// As ``close()``, without waiting.
    @discardableResult
    func beginClose() -> [any Channel] {
        let (waiters, channels) = state.withLock { state in
            state.phase = .closed
            defer { state.waiters = [:] }
            return (Array(state.waiters.values), Array(state.channels.values))
        }
        for waiter in waiters {
            waiter.timer.cancel()
            waiter.continuation.resume(throwing: Self.clientClosed)
        }
        for channel in channels {
            channel.eventLoop.execute {
                if let handler = try? channel.pipeline.syncOperations.handler(type: ConnectionHandler.self) {
                    handler.abort(Self.clientClosed)
                } else {
                    channel.close(promise: nil)
                }
            }
        }
        return channels
    }

    private static let clientClosed = RPCError(.cancelled, "the client is closed")

    // MARK: Attempts

    private static func beginAttempt(_ state: inout State) -> UInt64 {
        state.nextID += 1
        state.phase = .connecting(id: state.nextID)
        return state.nextID
    }

    /// Tries one endpoint. Exactly one of `becameReady` and `attemptFailed` has an effect for each attempt.
    private func attempt(_ id: UInt64, endpoint index: Int) {
        let endpoint = endpoints[index]
        ClientBootstrap(group: eventLoop)
            .connectTimeout(TimeAmount(configuration.connectTimeout))
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.recvAllocator, value: ChannelSettings.receiveAllocator)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.configure(channel, id, index) }
            }
            .connect(host: endpoint.host, port: endpoint.port)
            .whenFailure { error in
                self.attemptFailed(
                    id, index, RPCError(.unavailable, "\(endpoint) refused or did not answer", cause: error))
            }
    }

    private func configure(_ channel: any Channel, _ id: UInt64, _ index: Int) throws {
        let endpoint = endpoints[index]
        let loop = channel.eventLoop
        let handler = ConnectionHandler(
            role: .client, limits: configuration.limits, name: configuration.name, logger: logger,
            events: ConnectionEvents())
        let bound = NIOLoopBound(handler, eventLoop: loop)
        handler.setEvents(
            ConnectionEvents(
                ready: { [weak self, limits = configuration.limits] hello in
                    guard let self else { return channel.close(promise: nil) }
                    let connection = ClientConnection(
                        handler: bound, eventLoop: loop, peer: hello, limits: limits,
                        meter: UnreadMeter(limit: limits.maxUnreadBytes), number: id)
                    self.becameReady(connection, channel, endpoint)
                },
                goingAway: { [weak self] goAway in self?.lost(id, "\(goAway.reason)") },
                closed: { [weak self] error in
                    self?.lost(id, error.message)
                    self?.attemptFailed(
                        id, index, RPCError(.unavailable, "\(endpoint): \(error.message)", cause: error))
                    self?.state.withLock { $0.channels[id] = nil }
                }))
        if let tls {
            // A name is checked against the certificate and sent as SNI; an address can only be checked.
            let name = configuration.tls?.serverName ?? endpoint.host
            let isAddress = (try? SocketAddress(ipAddress: name, port: 0)) != nil
            try channel.pipeline.syncOperations.addHandler(
                NIOSSLClientHandler(context: tls.get(), serverHostname: isAddress ? nil : name))
        }
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    private func becameReady(
        _ connection: ClientConnection, _ channel: any Channel, _ endpoint: WireTarget.Endpoint
    ) {
        let waiters: [Waiter]? = state.withLock { state in
            guard case .connecting(let id) = state.phase, id == connection.number else { return nil }
            state.phase = .ready(connection, since: .now)
            state.channels[connection.number] = channel
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        // The client was closed meanwhile.
        guard let waiters else { return channel.close(promise: nil) }
        logger.debug("connected", metadata: ["peer.address": "\(endpoint)", "peer.name": "\(connection.peer.peer)"])
        for waiter in waiters {
            waiter.timer.cancel()
            waiter.continuation.resume(returning: connection)
        }
    }

    private func attemptFailed(_ id: UInt64, _ index: Int, _ error: RPCError) {
        enum Next {
            case nothing, tryNext, pause(Duration, [Waiter])
        }
        let next: Next = state.withLock { state in
            guard case .connecting(id) = state.phase else { return .nothing }
            if index + 1 < endpoints.count { return .tryNext }
            return .pause(pauseLength(&state, error), Self.takeImpatient(&state))
        }
        switch next {
        case .nothing: break
        case .tryNext:
            logger.debug("endpoint failed, trying the next", metadata: ["peer.address": "\(endpoints[index])"])
            let nextID: UInt64? = state.withLock { state in
                guard case .connecting(id) = state.phase else { return nil }
                return Self.beginAttempt(&state)
            }
            if let nextID { attempt(nextID, endpoint: index + 1) }
        case .pause(let duration, let impatient):
            for waiter in impatient {
                waiter.timer.cancel()
                var error = error
                error.isUnprocessed = true
                waiter.continuation.resume(throwing: error)
            }
            retry(after: duration)
        }
    }

    /// The connection takes no new streams: looks for another.
    private func lost(_ id: UInt64, _ reason: String) {
        enum Next {
            case nothing, connect(UInt64), pause(Duration)
        }
        let next: Next = state.withLock { state in
            guard case .ready(let connection, let since) = state.phase, connection.number == id else { return .nothing }
            if since.duration(to: .now) >= Self.stableAfter {
                state.backoff.reset()
                return .connect(Self.beginAttempt(&state))
            }
            return .pause(pauseLength(&state, RPCError(.unavailable, "the connection was lost (\(reason))")))
        }
        switch next {
        case .nothing: break
        case .connect(let id):
            logger.debug("connection lost, reconnecting", metadata: ["reason": "\(reason)"])
            attempt(id, endpoint: 0)
        case .pause(let duration): retry(after: duration)
        }
    }

    private func pauseLength(_ state: inout State, _ error: RPCError) -> Duration {
        state.phase = .backingOff(error)
        var generator = SystemRandomNumberGenerator()
        return state.backoff.next(using: &generator)
    }

    private static func takeImpatient(_ state: inout State) -> [Waiter] {
        let impatient = state.waiters.filter { !$0.value.waitForReady }
        for token in impatient.keys { state.waiters[token] = nil }
        return Array(impatient.values)
    }

    private func retry(after pause: Duration) {
        logger.debug("connection failed, will retry", metadata: ["pause": "\(pause)"])
        eventLoop.scheduleTask(in: TimeAmount(pause)) { [weak self] in
            guard let self else { return }
            let id: UInt64? = self.state.withLock { state in
                guard case .backingOff = state.phase else { return nil }
                return Self.beginAttempt(&state)
            }
            if let id { self.attempt(id, endpoint: 0) }
        }
    }
}
