/// Where a server listens and what it bears.
package struct WireServerConfiguration: Sendable {
    /// Address to bind: an IP address or a name.
    package var host: String
    /// 0: any free port; `WireServer.boundAddress()` tells which.
    package var port: Int
    /// nil: plaintext.
    package var tls: WireTLSConfiguration?
    package var limits: WireLimits
    /// Connections at once; one more is closed at once.
    package var maxConnections: Int
    /// How long streams may go on after graceful shutdown began.
    package var drainTimeout: Duration
    /// What the server calls itself in HELLO.
    package var name: String

    package init(
        host: String = "127.0.0.1", port: Int = 0, tls: WireTLSConfiguration? = nil, limits: WireLimits = WireLimits(),
        maxConnections: Int = 1024, drainTimeout: Duration = .seconds(10), name: String = "fathom/0.1"
    ) {
        self.host = host
        self.port = port
        self.tls = tls
        self.limits = limits
        self.maxConnections = maxConnections
        self.drainTimeout = drainTimeout
        self.name = name
    }
}
