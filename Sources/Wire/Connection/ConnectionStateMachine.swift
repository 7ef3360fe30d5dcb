/// What one side of a connection knows about it, and what every received frame means.
///
/// A pure value: frames in, actions out; no I/O, no clock, no thread. `ConnectionHandler` drives it on the event loop and
/// a test can drive it alone. `Stream` is whatever the driver wants back with each action.
///
/// ```
///              HELLO received            GO_AWAY sent or received
/// awaitingHello ───────────► running ───────────────────────────► draining
///        │                      │                                    │ last stream ended
///        └──────────────────────┴───────────── fault, EOF ───────────┴──────────► closed
///
/// stream:   OPEN ──► open ──(HALF_CLOSE or end_stream)──► requestsEnded
///                     └──────────── STATUS or CANCEL ─────────┴──► gone
/// ```
struct ConnectionStateMachine<Stream> {
    enum Role: Sendable {
        case client, server
    }

    /// Where the connection is in its life.
    enum Phase: Sendable, Equatable {
        /// Nothing but HELLO (or GO_AWAY) may arrive.
        case awaitingHello
        /// Streams may be opened.
        case running
        /// No new streams; those that exist finish.
        case draining
        /// Nothing is read or written any more.
        case closed
    }

    /// Where a stream is in its life; it leaves the table with STATUS or CANCEL.
    enum StreamPhase: Sendable, Equatable {
        /// The client may send messages.
        case open
        /// The client half-closed.
        case requestsEnded
    }

    private struct Entry {
        var stream: Stream
        var phase: StreamPhase
        /// What the peer may still send us.
        var window: CreditWindow
    }

    /// What the driver must do about a received frame.
    enum Action {
        /// Nothing: a late frame of a stream that is gone.
        case none
        /// The peer's HELLO; the connection is ready.
        case ready(Frame.Hello)
        /// Server: a new stream. Call ``accept(_:_:requestsEnded:)`` or answer with STATUS.
        case opened(id: UInt32, Frame.Open, Frame.Payload?, endStream: Bool)
        /// Server: the stream cannot be taken; answer with STATUS.
        case refuse(id: UInt32, RPCError)
        /// A message; `endStream` when it is the client's last.
        case deliver(Stream, Frame.Payload, endStream: Bool)
        /// Server: the client has no more messages.
        case requestsEnded(Stream)
        /// Client: the stream is over; it is out of the table.
        case ended(Stream, Frame.Status, Frame.Payload?)
        /// Server: the client gave up; the stream is out of the table.
        case cancelled(Stream)
        /// We may send more on this stream.
        case granted(Stream, Int)
        /// Answer with PONG.
        case ping(token: UInt64)
        case pong(token: UInt64)
        /// The peer takes no new streams. `unprocessed` are out of the table; the peer never looked at them.
        case goAway(Frame.GoAway, unprocessed: [Stream])
    }

    let role: Role
    private let limits: WireLimits
    private(set) var phase = Phase.awaitingHello
    private(set) var peerHello: Frame.Hello?
    private var entries: [UInt32: Entry] = [:]
    /// Client: last id used. Server: highest id seen.
    private(set) var lastStreamID: UInt32 = 0

    init(role: Role, limits: WireLimits) {
        self.role = role
        self.limits = limits
    }

    /// Streams that are neither ended nor cancelled.
    var streamCount: Int { entries.count }

    /// Largest frame that may arrive now. Before HELLO it is small, so that strangers cannot make us hold much.
    var maxIncomingFrameBytes: Int {
        phase == .awaitingHello ? Self.maxHelloBytes : limits.maxFrameBytes
    }

    /// Largest HELLO frame.
    static var maxHelloBytes: Int { 4096 }

    // MARK: Receiving

    /// What `frame` means. After a thrown fault the driver sends GO_AWAY and calls ``close()``.
    mutating func received(_ frame: Frame) throws(ConnectionFault) -> Action {
        switch phase {
        case .closed: return .none
        case .awaitingHello: return try receivedFirst(frame)
        case .running, .draining: break
        }
        switch frame {
        case .message(let id, let payload, let endStream): return try receivedMessage(id, payload, endStream)
        case .credit(let id, let bytes):
            guard let entry = try entry(id, "CREDIT") else { return .none }
            return .granted(entry.stream, Int(bytes))
        case .status(let id, let status, let payload): return try receivedStatus(id, status, payload)
        case .open(let id, let open, let payload, let endStream):
            return try receivedOpen(id, open, payload, endStream)
        case .halfClose(let id):
            try require(.server, "HALF_CLOSE")
            guard let entry = try entry(id, "HALF_CLOSE") else { return .none }
            try endRequests(id, entry, "HALF_CLOSE")
            return .requestsEnded(entry.stream)
        case .cancel(let id):
            try require(.server, "CANCEL")
            guard let entry = try entry(id, "CANCEL") else { return .none }
            entries[id] = nil
            return .cancelled(entry.stream)
        case .ping(let token): return .ping(token: token)
        case .pong(let token): return .pong(token: token)
        case .goAway(let goAway): return receivedGoAway(goAway)
        case .hello: throw ConnectionFault(.protocolError, "a second HELLO")
        }
    }

    private mutating func receivedFirst(_ frame: Frame) throws(ConnectionFault) -> Action {
        switch frame {
        case .hello(let hello):
            guard hello.version == Frame.Hello.currentVersion else {
                throw ConnectionFault(
                    .unsupportedVersion, "version \(hello.version), expected \(Frame.Hello.currentVersion)")
            }
            guard (1...1 << 30).contains(hello.initialCredits),
                hello.maxFrameBytes >= UInt32(WireLimits.leastFrameBytes), hello.maxStreams >= 1
            else {
                throw ConnectionFault(
                    .protocolError,
                    "HELLO needs initial_credits in 1...2^30, max_frame_bytes >= 32768, max_streams >= 1")
            }
            peerHello = hello
            phase = .running
            return .ready(hello)
        case .goAway(let goAway): return receivedGoAway(goAway)
        default: throw ConnectionFault(.protocolError, "the first frame is not HELLO")
        }
    }

    private mutating func receivedMessage(
        _ id: UInt32, _ payload: Frame.Payload, _ endStream: Bool
    ) throws(ConnectionFault) -> Action {
        guard var entry = try entry(id, "MESSAGE") else { return .none }
        if role == .server {
            guard entry.phase == .open else {
                throw ConnectionFault(.protocolError, "MESSAGE on stream \(id) after its half-close")
            }
            if endStream { entry.phase = .requestsEnded }
        }
        guard entry.window.spend(payload.cost) else {
            throw ConnectionFault(.flowControl, "MESSAGE on stream \(id) without credits")
        }
        entries[id] = entry
        return .deliver(entry.stream, payload, endStream: endStream && role == .server)
    }

    private mutating func receivedStatus(
        _ id: UInt32, _ status: Frame.Status, _ payload: Frame.Payload?
    ) throws(ConnectionFault) -> Action {
        try require(.client, "STATUS")
        guard var entry = try entry(id, "STATUS") else { return .none }
        if let payload, !entry.window.spend(payload.cost) {
            throw ConnectionFault(.flowControl, "STATUS with a message on stream \(id) without credits")
        }
        entries[id] = nil
        return .ended(entry.stream, status, payload)
    }

    private mutating func receivedOpen(
        _ id: UInt32, _ open: Frame.Open, _ payload: Frame.Payload?, _ endStream: Bool
    ) throws(ConnectionFault) -> Action {
        try require(.server, "OPEN")
        guard id % 2 == 1, id > lastStreamID else {
            throw ConnectionFault(.protocolError, "OPEN of stream \(id) after \(lastStreamID): ids are odd and ascend")
        }
        lastStreamID = id
        if phase == .draining {
            return .refuse(id: id, RPCError(.unavailable, "the server is shutting down"))
        }
        guard entries.count < limits.maxStreams else {
            return .refuse(
                id: id, RPCError(.resourceExhausted, "the connection has \(limits.maxStreams) streams, its limit"))
        }
        if let problem = open.metadata.problem() {
            return .refuse(id: id, RPCError(.invalidArgument, problem))
        }
        return .opened(id: id, open, payload, endStream: endStream)
    }

    private mutating func receivedGoAway(_ goAway: Frame.GoAway) -> Action {
        if phase != .closed { phase = .draining }
        var unprocessed: [Stream] = []
        if role == .client {
            for (id, entry) in entries where id > goAway.lastStreamID {
                unprocessed.append(entry.stream)
                entries[id] = nil
            }
        }
        return .goAway(goAway, unprocessed: unprocessed)
    }

    /// The stream with this id; nil when it was open once.
    private func entry(_ id: UInt32, _ kind: String) throws(ConnectionFault) -> Entry? {
        if let entry = entries[id] { return entry }
        guard id % 2 == 1, id <= lastStreamID else {
            throw ConnectionFault(.protocolError, "\(kind) on stream \(id), which was never opened")
        }
        return nil
    }

    private mutating func endRequests(_ id: UInt32, _ entry: Entry, _ kind: String) throws(ConnectionFault) {
        guard entry.phase == .open else {
            throw ConnectionFault(.protocolError, "\(kind) on stream \(id), which is half-closed")
        }
        entries[id]?.phase = .requestsEnded
    }

    private func require(_ expected: Role, _ kind: String) throws(ConnectionFault) {
        guard role == expected else {
            throw ConnectionFault(.protocolError, "\(kind) came from the wrong side")
        }
    }

    // MARK: Deciding

    /// Server: puts the stream that OPEN announced into the table. `firstCost` is the cost of the message in OPEN.
    mutating func accept(_ id: UInt32, _ stream: Stream, requestsEnded: Bool, firstCost: Int) {
        var window = CreditWindow(initial: limits.initialCredits)
        // A fresh window is open, so the first message always passes.
        if firstCost > 0 { _ = window.spend(firstCost) }
        entries[id] = Entry(stream: stream, phase: requestsEnded ? .requestsEnded : .open, window: window)
    }

    /// Client: takes the next id for `stream`.
    ///
    /// - Throws: UNAVAILABLE (unprocessed) when the connection takes no new streams, RESOURCE_EXHAUSTED at the peer's limit.
    mutating func open(_ stream: Stream, requestsEnded: Bool) throws(RPCError) -> UInt32 {
        guard phase == .running, let peerHello, lastStreamID < UInt32.max - 2 else {
            throw RPCError(.unavailable, "the connection takes no new streams", isUnprocessed: true)
        }
        guard entries.count < Int(peerHello.maxStreams) else {
            throw RPCError(
                .resourceExhausted,
                "the connection has \(entries.count) streams, the peer's limit is \(peerHello.maxStreams)")
        }
        let id = lastStreamID == 0 ? 1 : lastStreamID + 2
        lastStreamID = id
        entries[id] = Entry(
            stream: stream, phase: requestsEnded ? .requestsEnded : .open,
            window: CreditWindow(initial: limits.initialCredits))
        return id
    }

    /// True while frames may be written on stream `id`; `ending` also half-closes the client's side.
    ///
    /// - Returns: false when the stream is gone or, on the client, half-closed: the frame is then dropped.
    mutating func maySend(_ id: UInt32, ending: Bool) -> Bool {
        guard let entry = entries[id], phase != .closed else { return false }
        guard role == .client else { return true }
        guard entry.phase == .open else { return false }
        if ending { entries[id]?.phase = .requestsEnded }
        return true
    }

    /// The peer may send `bytes` more on stream `id`.
    ///
    /// - Returns: false when the stream is gone: no CREDIT is to be sent.
    mutating func granted(_ id: UInt32, _ bytes: Int) -> Bool {
        guard phase != .closed, entries[id] != nil else { return false }
        // Grants only give back what was spent, so the sum cannot exceed the initial window.
        try? entries[id]?.window.grant(bytes)
        return true
    }

    /// Takes stream `id` out of the table because we end it (server: STATUS, client: CANCEL).
    ///
    /// - Returns: false when it was gone: no frame is to be sent.
    mutating func end(_ id: UInt32) -> Bool {
        entries.removeValue(forKey: id) != nil
    }

    /// No new streams from now on. The id returned goes into GO_AWAY.
    mutating func drain() -> UInt32 {
        if phase == .running || phase == .awaitingHello { phase = .draining }
        return lastStreamID
    }

    /// True when draining and nothing is left to do.
    var isDrained: Bool { phase == .draining && entries.isEmpty }

    /// Ends everything; the streams that were open come back to be failed.
    mutating func close() -> [Stream] {
        phase = .closed
        defer { entries.removeAll() }
        return entries.keys.sorted().compactMap { entries[$0]?.stream }
    }
}
