/// How slow a client may be. Every wait for one ends with one of these.
package struct HTTPLimits: Sendable {
    /// Longest until the head of a request is whole, from its first byte; for a connection's first request from the
    /// start of the connection, a TLS handshake included.
    package var headerTimeout = Duration.seconds(20)
    /// Longest that a body may be waited for, in all.
    package var bodyTimeout = Duration.seconds(600)
    /// Least bytes a second of a body; 0: only pauses count.
    package var bodyMinimumRate = 1_024
    /// How long a body may be behind that rate, which is also its longest pause.
    package var bodyStallTimeout = Duration.seconds(20)
    /// Longest that a client may leave an answer unread.
    package var writeTimeout = Duration.seconds(60)
    /// Longest silence of an event stream before a comment is sent; zero: none is.
    package var pingInterval = Duration.seconds(15)
    /// Longest that a connection of HTTP/2 lasts after it was told to go away. Not a setting.
    package var goodbyeTimeout = Duration.seconds(30)
    /// Most open connections; more wait to be accepted.
    package var maximumConnections = 4_096

    package init() {}
}
