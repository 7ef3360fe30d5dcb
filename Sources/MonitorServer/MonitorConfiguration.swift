import ServiceSupport

/// Settings of the monitor. Configuration keys, besides those of ``CommonConfiguration``:
/// - `http-host`: address of the page and of `/metrics`, default: that of `host`.
/// - `http-port`: 0...65535, default 7301, 0 = any free port.
/// - `allowed-hosts`: names under which the page may be asked for, besides those of loopback and the address itself.
/// - `interval`: how often services report, 200ms...60s, default 1s.
/// - `max-members`: processes shown at once, those that went away included, 1...1024, default 64.
package struct MonitorConfiguration: Sendable {
    /// Port for services when nothing sets one.
    package static let defaultPort = 7300

    package var httpHost = "127.0.0.1"
    package var httpPort = 7301
    package var allowedHosts: [String] = []
    package var limits = MonitorLimits()

    package init() {}

    package init(_ settings: ServiceConfiguration) throws {
        httpHost = try settings.string("http-host", default: settings.common.host)
        httpPort = try settings.int("http-port", default: 7301, in: 0...65535)
        allowedHosts = try settings.strings("allowed-hosts")
        let interval = try settings.duration("interval", default: .seconds(1), in: .milliseconds(200)...(.seconds(60)))
        limits.intervalMilliseconds = Int64((interval.seconds * 1000).rounded())
        limits.memberCount = try settings.int("max-members", default: 64, in: 1...1024)
    }
}
