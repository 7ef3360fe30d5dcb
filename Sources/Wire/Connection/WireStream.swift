import NIOCore
import Synchronization

/// One stream of a connection, as both sides and all threads see it.
///
/// The send side may be used from any thread: `Mutex<State>` holds the credits, who waits for them, and what raw streams
/// queued. Frames are handed to the connection on its event loop, in the order they were given. The receive side is the
/// sink's, on the event loop.
final class WireStream: Sendable {
    /// Something to write in order.
    enum Outgoing: Sendable {
        case payload(Frame.Payload, endStream: Bool)
        case halfClose
        case status(Frame.Status)
    }

    private struct Waiter {
        var token: UInt64
        var cost: Int
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var window: CreditWindow
        var waiters = CircularBuffer<Waiter>()
        var nextToken: UInt64 = 0
        /// Raw streams only: what waits for credits.
        var queue = CircularBuffer<Outgoing>()
        var queuedBytes = 0
        /// Consumed by the application, not yet granted to the peer.
        var ungranted = 0
        /// Set by half-close or status: nothing may be written after it.
        var isSendEnded = false
        var isEnded = false
        var error: RPCError?
        var deadline: Scheduled<Void>?
    }

    let connection: NIOLoopBound<ConnectionHandler>
    let eventLoop: any EventLoop
    let sink: any StreamSink
    private let limits: WireLimits
    private let maxPayloadBytes: Int
    private let idBox = Atomic<UInt32>(0)
    private let state: Mutex<State>

    /// - Parameters:
    ///   - peer: The peer's HELLO: how much may be sent at first, and how large a frame may be.
    init(
        connection: NIOLoopBound<ConnectionHandler>, eventLoop: any EventLoop, peer: Frame.Hello, limits: WireLimits,
        sink: any StreamSink
    ) {
        self.connection = connection
        self.eventLoop = eventLoop
        self.sink = sink
        self.limits = limits
        maxPayloadBytes = Int(peer.maxFrameBytes) - FrameEncoder.maximumOverhead
        state = Mutex(State(window: CreditWindow(initial: Int(peer.initialCredits))))
    }

    /// Set by the connection on its event loop when the stream gets its place; 0 before.
    var id: UInt32 {
        get { idBox.load(ordering: .relaxed) }
        set { idBox.store(newValue, ordering: .relaxed) }
    }

    /// True when the stream has ended, whoever ended it.
    var isOver: Bool { state.withLock { $0.isEnded } }

    /// What the stream ended with; nil while it is open and after OK.
    var failure: RPCError? { state.withLock { $0.error } }

    // MARK: Sending with waiting (typed streams)

    /// Waits for credits, then hands the payload over.
    ///
    /// - Throws: The error the stream ended with, CANCELLED when the task is cancelled while waiting, RESOURCE_EXHAUSTED
    ///   when the peer takes no frame that large.
    func write(_ payload: Frame.Payload, endStream: Bool = false) async throws {
        try checkSize(payload)
        let spent = try state.withLock { state throws(RPCError) in
            try Self.checkOpen(state)
            // Those who wait go first.
            let spent = state.waiters.isEmpty && state.window.spend(payload.cost)
            if spent && endStream { state.isSendEnded = true }
            return spent
        }
        if !spent {
            try await waitForCredits(payload.cost)
            if endStream { state.withLock { $0.isSendEnded = true } }
        }
        hand(.payload(payload, endStream: endStream))
    }

    /// Takes credits without waiting, for a payload that rides on OPEN or STATUS with `extra` other bytes.
    ///
    /// - Returns: false when credits are used up, others wait for them, or the stream is over.
    /// - Throws: RESOURCE_EXHAUSTED when the peer takes no frame that large.
    func spend(_ payload: Frame.Payload, extra: Int = 0) throws(RPCError) -> Bool {
        try checkSize(payload, extra: extra)
        return state.withLock {
            !$0.isEnded && $0.waiters.isEmpty && $0.queue.isEmpty && $0.window.spend(payload.cost)
        }
    }

    private func waitForCredits(_ cost: Int) async throws {
        let token = state.withLock { state in
            state.nextToken += 1
            return state.nextToken
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let outcome: Result<Void, RPCError>? = state.withLock { state in
                    if Task.isCancelled { return .failure(Self.cancelled) }
                    do throws(RPCError) { try Self.checkOpen(state) } catch { return .failure(error) }
                    if state.waiters.isEmpty && state.window.spend(cost) { return .success(()) }
                    state.waiters.append(Waiter(token: token, cost: cost, continuation: continuation))
                    return nil
                }
                outcome.map { continuation.resume(with: $0) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard let index = state.waiters.firstIndex(where: { $0.token == token }) else { return nil }
                return state.waiters.remove(at: index)
            }
            waiter?.continuation.resume(throwing: Self.cancelled)
        }
    }

    // MARK: Sending without waiting (raw streams)

    /// Hands the payload over, or queues it until credits arrive.
    ///
    /// - Throws: The error the stream ended with; RESOURCE_EXHAUSTED, and nothing queued, when more than
    ///   `maxUnsentBytes` would wait.
    func send(_ payload: Frame.Payload) throws(RPCError) {
        try checkSize(payload)
        let now = try state.withLock { state throws(RPCError) in
            try Self.checkOpen(state)
            if state.queue.isEmpty && state.window.spend(payload.cost) { return true }
            guard state.queuedBytes + payload.cost <= limits.maxUnsentBytes else {
                throw RPCError(
                    .resourceExhausted,
                    "\(state.queuedBytes) bytes wait for the peer; with \(payload.cost) more the limit of "
                        + "\(limits.maxUnsentBytes) is exceeded")
            }
            state.queuedBytes += payload.cost
            state.queue.append(.payload(payload, endStream: false))
            return false
        }
        if now { hand(.payload(payload, endStream: false)) }
    }

    /// Bytes that wait for credits (raw streams).
    var queuedBytes: Int { state.withLock { $0.queuedBytes } }

    // MARK: Ending

    /// The client has no more messages. Does nothing when the sending side is over.
    func halfClose() {
        endSending(.halfClose)
    }

    /// The server's answer. Does nothing when the stream is over.
    func finish(_ status: Frame.Status) {
        endSending(.status(status))
    }

    /// The server's answer with the last message; credits must have been taken with ``spend(_:)``.
    func finish(_ status: Frame.Status, lastMessage payload: Frame.Payload) {
        guard state.withLock({ Self.markSendEnded(&$0) }) else { return }
        onLoop { $0.sendStatus(on: self, status, payload) }
    }

    /// Gives the stream up: the client sends CANCEL, the server STATUS; the sink sees `error`.
    func cancel(_ error: RPCError) {
        onLoop { $0.abandon(self, error) }
    }

    private func endSending(_ last: Outgoing) {
        let now = state.withLock { state in
            guard Self.markSendEnded(&state) else { return false }
            guard state.queue.isEmpty else {
                state.queue.append(last)
                return false
            }
            return true
        }
        if now { hand(last) }
    }

    private static func markSendEnded(_ state: inout State) -> Bool {
        guard !state.isEnded, !state.isSendEnded else { return false }
        state.isSendEnded = true
        return true
    }

    // MARK: Receiving

    /// The application took a message that cost `bytes`; grants credits when half a window has come together.
    func consumed(_ bytes: Int) {
        let grant = state.withLock { state -> Int in
            guard !state.isEnded else { return 0 }
            state.ungranted += bytes
            guard state.ungranted >= (limits.initialCredits + 1) / 2 else { return 0 }
            defer { state.ungranted = 0 }
            return state.ungranted
        }
        if grant > 0 { onLoop { $0.grant(grant, on: self) } }
    }

    // MARK: Called by the connection, on the event loop

    /// The peer granted credits: those who wait and what is queued go out, in order.
    func granted(_ bytes: Int) throws(ConnectionFault) {
        let (ready, outgoing) = try state.withLock { state throws(ConnectionFault) in
            try state.window.grant(bytes)
            var ready: [CheckedContinuation<Void, any Error>] = []
            while let first = state.waiters.first, state.window.spend(first.cost) {
                ready.append(state.waiters.removeFirst().continuation)
            }
            return (ready, Self.sendable(&state))
        }
        for item in outgoing { hand(item) }
        for continuation in ready { continuation.resume() }
    }

    private static func sendable(_ state: inout State) -> [Outgoing] {
        var outgoing: [Outgoing] = []
        while let first = state.queue.first {
            if case .payload(let payload, _) = first {
                guard state.window.spend(payload.cost) else { break }
                state.queuedBytes -= payload.cost
            }
            outgoing.append(state.queue.removeFirst())
        }
        return outgoing
    }

    /// Fails the stream at `deadline` with DEADLINE_EXCEEDED.
    func scheduleDeadline(in time: TimeAmount) {
        let scheduled = eventLoop.assumeIsolated().scheduleTask(in: time) {
            self.connection.value.abandon(self, RPCError(.deadlineExceeded, "the deadline passed"))
        }
        state.withLock { $0.deadline = scheduled }
    }

    /// The stream is over, whoever ended it. Only the first call has an effect.
    func ended(_ error: RPCError?) {
        let (first, waiters, deadline) = state.withLock { state in
            let first = !state.isEnded
            state.isEnded = true
            if first { state.error = error }
            defer {
                state.waiters.removeAll()
                state.queue.removeAll()
                state.queuedBytes = 0
                state.deadline = nil
            }
            return (first, Array(state.waiters), state.deadline)
        }
        deadline?.cancel()
        for waiter in waiters { waiter.continuation.resume(throwing: error ?? Self.over) }
        if first { sink.closed(error, on: self) }
    }

    // MARK: Helpers

    private func hand(_ outgoing: Outgoing) {
        onLoop { $0.send(outgoing, on: self) }
    }

    private func onLoop(_ body: @escaping @Sendable (ConnectionHandler) -> Void) {
        if eventLoop.inEventLoop {
            body(connection.value)
        } else {
            eventLoop.execute { body(self.connection.value) }
        }
    }

    private func checkSize(_ payload: Frame.Payload, extra: Int = 0) throws(RPCError) {
        let size = payload.cost + extra
        guard size <= maxPayloadBytes else {
            throw RPCError(
                .resourceExhausted, "a message of \(size) bytes exceeds the peer's limit of \(maxPayloadBytes)")
        }
    }

    private static func checkOpen(_ state: State) throws(RPCError) {
        guard !state.isEnded else { throw state.error ?? over }
        guard !state.isSendEnded else { throw RPCError(.failedPrecondition, "the sending side is finished") }
    }

    private static let over = RPCError(.cancelled, "the stream has ended")
    private static let cancelled = RPCError(.cancelled, "the call was cancelled")
}
