/// Bounds of one connection, the same on both sides. docs/wire.md says what each protects.
package struct WireLimits: Sendable {
    /// Largest frame accepted, without its length prefix, in bytes.
    package var maxFrameBytes: Int
    /// Streams the peer may hold open at once, and handlers that may run for it.
    package var maxStreams: Int
    /// Credits each new stream gives its sender, in bytes: how much may be unread before the sender must wait. A single
    /// message may exceed it once, so a stream holds at most this plus one frame.
    package var initialCredits: Int
    /// Received and not yet consumed bytes over all streams of a connection. The stream that exceeds it fails with
    /// RESOURCE_EXHAUSTED; the others go on.
    package var maxUnreadBytes: Int
    /// Bytes a raw stream queues while it waits for credits; `send` throws above it.
    package var maxUnsentBytes: Int
    /// Time from TCP connect to HELLO, TLS included.
    package var handshakeTimeout: Duration
    /// Silence after which a PING is sent.
    package var pingInterval: Duration
    /// Silence after which the connection is dead. At least twice `pingInterval`.
    package var deadAfter: Duration

    /// Every side accepts frames up to this, so that OPEN and STATUS always fit with full metadata.
    static let leastFrameBytes = 32 << 10

    package init(
        maxFrameBytes: Int = 16 << 20, maxStreams: Int = 1024, initialCredits: Int = 1 << 20,
        maxUnreadBytes: Int = 256 << 20, maxUnsentBytes: Int = 64 << 20, handshakeTimeout: Duration = .seconds(10),
        pingInterval: Duration = .seconds(5), deadAfter: Duration = .seconds(15)
    ) {
        precondition((Self.leastFrameBytes...1 << 30).contains(maxFrameBytes), "maxFrameBytes must be 32 KiB...1 GiB")
        precondition((1...1 << 20).contains(maxStreams), "maxStreams must be 1...2^20")
        precondition((1...1 << 30).contains(initialCredits), "initialCredits must be 1...2^30")
        precondition(deadAfter > pingInterval, "deadAfter must be longer than pingInterval")
        self.maxFrameBytes = maxFrameBytes
        self.maxStreams = maxStreams
        self.initialCredits = initialCredits
        self.maxUnreadBytes = maxUnreadBytes
        self.maxUnsentBytes = maxUnsentBytes
        self.handshakeTimeout = handshakeTimeout
        self.pingInterval = pingInterval
        self.deadAfter = deadAfter
    }

    func hello(peer: String) -> Frame.Hello {
        Frame.Hello(
            initialCredits: UInt32(initialCredits), maxFrameBytes: UInt32(maxFrameBytes),
            maxStreams: UInt32(maxStreams), peer: peer)
    }
}
