/// How a client connects and what it bears.
package struct WireClientConfiguration: Sendable {
    /// nil: plaintext.
    package var tls: WireTLSConfiguration?
    package var limits: WireLimits
    /// How long a call waits for a connection when its own deadline is later; also the limit of one connect attempt.
    package var connectTimeout: Duration
    /// First pause between failed attempts; doubles, up to `maxBackoff`, and is then shortened by up to half at random.
    package var minBackoff: Duration
    package var maxBackoff: Duration
    /// What the client calls itself in HELLO.
    package var name: String

    package init(
        tls: WireTLSConfiguration? = nil, limits: WireLimits = WireLimits(), connectTimeout: Duration = .seconds(2),
        minBackoff: Duration = .milliseconds(50), maxBackoff: Duration = .seconds(2), name: String = "fathom/0.1"
    ) {
        self.tls = tls
        self.limits = limits
        self.connectTimeout = connectTimeout
        self.minBackoff = minBackoff
        self.maxBackoff = maxBackoff
        self.name = name
    }
}
