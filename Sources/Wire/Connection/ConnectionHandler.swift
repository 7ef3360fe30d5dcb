import Logging
import NIOCore

/// What a connection tells its owner, on the event loop.
struct ConnectionEvents {
    /// HELLO was exchanged.
    var ready: (Frame.Hello) -> Void = { _ in }
    /// The peer takes no new streams.
    var goingAway: (Frame.GoAway) -> Void = { _ in }
    /// Server: a stream was opened. Returns where it goes, or the error to refuse it with.
    var accept: (Frame.Open) -> Result<AcceptedStream, RPCError> = { _ in
        .failure(RPCError(.unimplemented, "no streams are accepted here"))
    }
    /// The connection is over; called once.
    var closed: (RPCError) -> Void = { _ in }
}

/// Where a new stream of a server goes.
struct AcceptedStream {
    var sink: any StreamSink
    /// Called when the stream is in the table, before its first message is delivered.
    var start: (WireStream) -> Void
}

/// The channel handler of both sides: cuts bytes into frames, drives the state machine, writes frames.
///
/// Lives on one event loop and is touched nowhere else (`NIOLoopBound` guards it).
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// PONG, CREDIT and refusals that may wait in a socket nobody reads before the peer counts as hostile.
    private static let maxUnreadReplies = 1024
    /// How long a closing connection waits for the peer to read the last frames.
    private static let lingerTime = TimeAmount.milliseconds(500)

    /// Deadlines further away than this many microseconds (35 years) are cut, so that clocks do not overflow.
    static let longestTimeout: UInt64 = 1 << 50

    private let limits: WireLimits
    private let name: String
    private let logger: Logger
    private var events: ConnectionEvents
    private var machine: ConnectionStateMachine<WireStream>
    private var context: ChannelHandlerContext?
    private var assembler = FrameAssembler()
    private var liveness: RepeatedTask?
    private var handshakeTimer: Scheduled<Void>?
    private var heardSinceTick = false
    /// Ticks, of half a ping interval each, without a byte from the peer. Ticks and not a clock: a process that was
    /// stopped for a while asks its peers before it gives them up.
    private var silentTicks = 0
    private var pingToken: UInt64 = 0
    private var unreadReplies = 0
    private var isReading = false
    private var needsFlush = false
    private var closeError: RPCError?
    private var isClosedReported = false

    /// - Parameters:
    ///   - name: What this side calls itself in HELLO.
    init(
        role: ConnectionStateMachine<WireStream>.Role, limits: WireLimits, name: String, logger: Logger,
        events: ConnectionEvents
    ) {
        self.limits = limits
        self.name = name
        self.logger = logger
        self.events = events
        machine = ConnectionStateMachine(role: role, limits: limits)
    }

    /// Replaces what the owner wants to hear; for owners whose closures refer to this handler.
    func setEvents(_ events: ConnectionEvents) {
        self.events = events
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { start(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        finish(RPCError(.unavailable, "the connection was lost"))
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        start(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(closeError ?? RPCError(.unavailable, "the connection was lost"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        logger.debug("connection failed", metadata: ["error.type": "\(type(of: error))"])
        closeError = closeError ?? RPCError(.unavailable, "the connection failed", cause: error)
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // A half-closed peer reads no answers; treat it like a lost one.
        if case .some(.inputClosed) = event as? ChannelEvent { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { unreadReplies = 0 }
        context.fireChannelWritabilityChanged()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        heardSinceTick = true
        guard machine.phase != .closed else { return }
        isReading = true
        do throws(ConnectionFault) {
            assembler.append(unwrapInboundIn(data), allocator: context.channel.allocator)
            // The limit is asked for each frame: it grows when HELLO has arrived.
            while machine.phase != .closed, let frame = try assembler.next(limit: machine.maxIncomingFrameBytes) {
                try handle(try FrameDecoder.decode(frame))
            }
        } catch {
            fail(error)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        flushIfNeeded()
        context.fireChannelReadComplete()
    }

    private func start(_ context: ChannelHandlerContext) {
        guard handshakeTimer == nil else { return }
        write(.hello(limits.hello(peer: name)))
        let loop = context.eventLoop.assumeIsolated()
        handshakeTimer = loop.scheduleTask(in: TimeAmount(limits.handshakeTimeout)) { [weak self] in
            guard let self, self.machine.phase == .awaitingHello else { return }
            self.fail(ConnectionFault(.idle, "no HELLO within \(self.limits.handshakeTimeout)"))
        }
        let tick = TimeAmount(limits.pingInterval / 2)
        let bound = NIOLoopBound(Weak(self), eventLoop: context.eventLoop)
        liveness = context.eventLoop.scheduleRepeatedTask(initialDelay: tick, delay: tick) { _ in
            bound.value.handler?.checkLiveness()
        }
    }

    /// Lets the timer go on without keeping a dead connection alive.
    private struct Weak {
        weak var handler: ConnectionHandler?

        init(_ handler: ConnectionHandler) {
            self.handler = handler
        }
    }

    // MARK: Inbound frames

    private func handle(_ frame: Frame) throws(ConnectionFault) {
        switch try machine.received(frame) {
        case .none: break
        case .deliver(let stream, let payload, let endStream):
            stream.sink.received(payload, on: stream)
            if endStream { stream.sink.requestsEnded(on: stream) }
        case .granted(let stream, let bytes): try stream.granted(bytes)
        case .ended(let stream, let status, let payload):
            if let payload { stream.sink.received(payload, on: stream) }
            stream.ended(Self.error(of: status))
            closeIfDrained()
        case .opened(let id, let open, let payload, let endStream): accept(id, open, payload, endStream)
        case .refuse(let id, let error): reply(.status(stream: id, Frame.Status(error), nil))
        case .requestsEnded(let stream): stream.sink.requestsEnded(on: stream)
        case .cancelled(let stream):
            stream.ended(RPCError(.cancelled, "the caller cancelled"))
            closeIfDrained()
        case .ping(let token): reply(.pong(token: token))
        case .pong: break
        case .ready(let hello):
            handshakeTimer?.cancel()
            events.ready(hello)
        case .goAway(let goAway, let unprocessed):
            logger.debug("peer goes away", metadata: ["reason": "\(goAway.reason)"])
            closeError = RPCError(.unavailable, "the peer went away (\(goAway.reason)): \(goAway.message)")
            events.goingAway(goAway)
            for stream in unprocessed {
                stream.ended(RPCError(.unavailable, "the peer is going away", isUnprocessed: true))
            }
            closeIfDrained()
        }
    }

    private func accept(_ id: UInt32, _ open: Frame.Open, _ payload: Frame.Payload?, _ endStream: Bool) {
        guard let context, let peer = machine.peerHello else { return }
        switch events.accept(open) {
        case .failure(let error): reply(.status(stream: id, Frame.Status(error), nil))
        case .success(let accepted):
            let stream = WireStream(
                connection: NIOLoopBound(self, eventLoop: context.eventLoop), eventLoop: context.eventLoop, peer: peer,
                limits: limits, sink: accepted.sink)
            stream.id = id
            machine.accept(id, stream, requestsEnded: endStream, firstCost: payload?.cost ?? 0)
            if open.timeoutMicroseconds > 0 {
                stream.scheduleDeadline(in: .microseconds(Int64(min(open.timeoutMicroseconds, Self.longestTimeout))))
            }
            accepted.start(stream)
            if let payload { stream.sink.received(payload, on: stream) }
            if endStream { stream.sink.requestsEnded(on: stream) }
        }
    }

    private static func error(of status: Frame.Status) -> RPCError? {
        guard status.code != .ok else { return nil }
        return RPCError(status.code, status.message, metadata: status.metadata)
    }

    // MARK: Streams

    /// The peer's HELLO; nil before it arrived.
    var peerHello: Frame.Hello? { machine.peerHello }

    /// Streams that are open now.
    var streamCount: Int { machine.streamCount }

    /// Client: opens `stream`, whose `ended` is called when that is not possible.
    func open(
        _ stream: WireStream, _ open: Frame.Open, first: Frame.Payload?, endStream: Bool,
        deadline: ContinuousClock.Instant?
    ) {
        guard !stream.isOver else { return }
        var open = open
        // Measured now, because waiting for the connection used some of it up.
        let left = deadline.map { ContinuousClock.now.duration(to: $0) }
        if let left {
            guard left > .zero else { return stream.ended(RPCError(.deadlineExceeded, "the deadline passed")) }
            open.timeoutMicroseconds = max(1, UInt64(left / .microseconds(1)))
        }
        do throws(RPCError) {
            if let first, !(try stream.spend(first, extra: open.sizeBound)) {
                throw RPCError(.cancelled, "the stream has ended")
            }
            stream.id = try machine.open(stream, requestsEnded: endStream)
        } catch {
            stream.ended(error)
            return
        }
        write(.open(stream: stream.id, open, first, endStream: endStream))
        if let left { stream.scheduleDeadline(in: TimeAmount(left)) }
    }

    /// Writes what a stream wants written, when the stream still is there.
    func send(_ outgoing: WireStream.Outgoing, on stream: WireStream) {
        let id = stream.id
        switch outgoing {
        case .payload(let payload, let endStream):
            guard machine.maySend(id, ending: endStream) else { return }
            write(.message(stream: id, payload, endStream: endStream))
        case .halfClose:
            guard machine.maySend(id, ending: true) else { return }
            write(.halfClose(stream: id))
        case .status(let status): sendStatus(on: stream, status, nil)
        }
    }

    /// Server: ends the stream.
    func sendStatus(on stream: WireStream, _ status: Frame.Status, _ payload: Frame.Payload?) {
        guard machine.end(stream.id) else { return }
        write(.status(stream: stream.id, Self.bounded(status), payload))
        stream.ended(Self.error(of: status))
        closeIfDrained()
    }

    /// Ends the stream from here with `error`: CANCEL from the client, STATUS from the server.
    func abandon(_ stream: WireStream, _ error: RPCError) {
        if machine.end(stream.id) {
            write(
                machine.role == .client
                    ? .cancel(stream: stream.id)
                    : .status(stream: stream.id, Self.bounded(Frame.Status(error)), nil))
        }
        stream.ended(error)
        closeIfDrained()
    }

    /// Grants the peer `bytes` more on `stream`.
    func grant(_ bytes: Int, on stream: WireStream) {
        guard machine.granted(stream.id, bytes) else { return }
        reply(.credit(stream: stream.id, bytes: UInt32(clamping: bytes)))
    }

    /// Keeps what a handler threw within what a peer accepts.
    private static func bounded(_ status: Frame.Status) -> Frame.Status {
        var status = status
        if status.message.utf8.count > 4096 { status.message = String(status.message.prefix(1000)) }
        if status.metadata.problem() != nil { status.metadata = [:] }
        return status
    }

    // MARK: Ending

    /// Takes no new streams, tells the peer so, and closes when the present ones are over.
    func drain() {
        guard machine.phase != .closed else { return }
        guard machine.phase != .awaitingHello else { return close() }
        guard machine.phase == .running else { return closeIfDrained() }
        write(.goAway(Frame.GoAway(reason: .draining, lastStreamID: machine.drain(), message: "shutting down")))
        closeIfDrained()
    }

    /// Ends all streams with `error`, telling the peer, and closes.
    func abort(_ error: RPCError) {
        guard machine.phase != .closed else { return }
        let status = Frame.Status(error)
        // Tells a client to look elsewhere, and to close when it has read the rest.
        write(.goAway(Frame.GoAway(reason: .draining, lastStreamID: machine.lastStreamID, message: "shutting down")))
        for stream in machine.close() {
            write(machine.role == .server ? .status(stream: stream.id, status, nil) : .cancel(stream: stream.id))
            stream.ended(error)
        }
        closeError = error
        closeSoon()
    }

    private func closeIfDrained() {
        guard machine.isDrained else { return }
        _ = machine.close()
        closeSoon()
    }

    private func fail(_ fault: ConnectionFault) {
        logger.debug(
            "connection ended by a fault", metadata: ["reason": "\(fault.reason)", "problem": "\(fault.message)"])
        let error = RPCError(.unavailable, "the connection was ended (\(fault.reason)): \(fault.message)")
        closeError = error
        let goAway = Frame.GoAway(reason: fault.reason, lastStreamID: machine.lastStreamID, message: fault.message)
        let streams = machine.close()
        write(.goAway(goAway))
        for stream in streams { stream.ended(error) }
        closeSoon()
    }

    /// Flushes and closes. The peer gets a moment to read the last frames: closing with its bytes unread would make the
    /// kernel discard them.
    private func closeSoon() {
        guard let context else { return }
        assembler = FrameAssembler()
        needsFlush = false
        context.flush()
        events.goingAway(Frame.GoAway(reason: .unspecified))
        if machine.role == .client { return close() }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: Self.lingerTime) { bound.value.close(promise: nil) }
    }

    private func close() {
        context?.close(promise: nil)
    }

    /// The channel is gone: all streams fail at once.
    private func finish(_ error: RPCError) {
        guard !isClosedReported else { return }
        isClosedReported = true
        handshakeTimer?.cancel()
        liveness?.cancel()
        for stream in machine.close() { stream.ended(error) }
        events.closed(error)
        // Breaks the cycles between the owner and this connection.
        events = ConnectionEvents()
    }

    // MARK: Liveness

    private func checkLiveness() {
        guard machine.phase != .closed else { return }
        guard !heardSinceTick else {
            heardSinceTick = false
            silentTicks = 0
            return
        }
        silentTicks += 1
        let silence = limits.pingInterval / 2 * silentTicks
        if silence >= limits.deadAfter {
            fail(ConnectionFault(.idle, "nothing was heard for \(limits.deadAfter)"))
            // The peer does not answer: waiting for it to read is in vain.
            close()
        } else if silence >= limits.pingInterval, machine.phase != .awaitingHello {
            pingToken += 1
            write(.ping(token: pingToken))
        }
    }

    // MARK: Outbound frames

    /// Writes a frame the peer caused; one that causes many and reads none is cut off.
    private func reply(_ frame: Frame) {
        if let context, !context.channel.isWritable {
            unreadReplies += 1
            if unreadReplies > Self.maxUnreadReplies {
                fail(ConnectionFault(.protocolError, "more than \(Self.maxUnreadReplies) replies are unread"))
                return close()
            }
        }
        write(frame)
    }

    private func write(_ frame: Frame) {
        guard let context else { return }
        let encoded = FrameEncoder.encode(frame, allocator: context.channel.allocator)
        context.write(wrapOutboundOut(encoded.head), promise: nil)
        if let message = encoded.message { context.write(wrapOutboundOut(message), promise: nil) }
        if let head = encoded.attachmentHead { context.write(wrapOutboundOut(head), promise: nil) }
        if let attachment = encoded.attachment { context.write(wrapOutboundOut(attachment), promise: nil) }
        // Inside of a read all answers leave with one system call.
        needsFlush = true
        if !isReading { flushIfNeeded() }
    }

    private func flushIfNeeded() {
        guard needsFlush else { return }
        needsFlush = false
        context?.flush()
    }
}
