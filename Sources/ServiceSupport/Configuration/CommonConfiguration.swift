import Logging
import Wire

/// The settings that every service has. Configuration keys:
/// - `host`: address to listen on, default 127.0.0.1.
/// - `port`: 0...65535, default per service, 0 = any free port.
/// - `monitor`: HOST:PORT to report to; not set: report to nobody.
/// - `log-level`: default info.
/// - `instance`: name in the cluster, default the kind of service; letters, digits, `.`, `_`, `-`, at most 63.
/// - `ready-file`: written when the process listens.
/// - `tls-certificate`, `tls-key`, `tls-trust-roots`, `tls-require-client-certificate`: see ``tls``.
/// - `drain-timeout`: default 20s.
package struct CommonConfiguration: Sendable {
    package var host = "127.0.0.1"
    /// 0 takes any free port.
    package var port = 0
    /// Where the monitor listens; nil: no reports.
    package var monitor: WireTarget?
    package var logLevel = Logger.Level.info
    package var instance = ""
    package var readyFilePath: String?
    /// Certificate and key of this process, used as server and as client; nil: plaintext.
    package var tls: WireTLSConfiguration?
    /// Longest wait for work in flight after SIGTERM; then it is cancelled.
    package var drainTimeout = Duration.seconds(20)

    init() {}

    init(_ settings: ServiceConfiguration, defaultPort: Int) throws {
        host = try settings.string("host", default: "127.0.0.1")
        port = try settings.int("port", default: defaultPort, in: 0...65535)
        monitor = try settings.target("monitor")
        logLevel = try settings.choice("log-level", default: Logger.Level.info)
        instance = try settings.string("instance", default: settings.service)
        guard instance.utf8.count <= 63, instance.utf8.allSatisfy(Self.isInstanceByte) else {
            throw settings.invalid("instance", expected: "at most 63 letters, digits, '.', '_' or '-'")
        }
        readyFilePath = try settings.string("ready-file")
        drainTimeout = try settings.duration("drain-timeout", default: .seconds(20), in: .zero...(.seconds(3600)))
        tls = try Self.tls(settings)
    }

    private static func tls(_ settings: ServiceConfiguration) throws -> WireTLSConfiguration? {
        let certificate = try settings.string("tls-certificate")
        let key = try settings.string("tls-key")
        let trustRoots = try settings.string("tls-trust-roots")
        let requiresClient = try settings.bool("tls-require-client-certificate", default: false)
        switch (certificate, key) {
        case (nil, nil):
            guard !requiresClient, trustRoots == nil else {
                throw ConfigurationError(
                    .missingValue, "--tls-certificate and --tls-key are needed: other TLS settings were given")
            }
            return nil
        case (let certificate?, let key?):
            return WireTLSConfiguration(
                certificateChainPath: certificate, privateKeyPath: key, trustRootsPath: trustRoots,
                requireClientCertificate: requiresClient)
        case (nil, _): throw ConfigurationError(.missingValue, "--tls-certificate is needed: --tls-key was given")
        case (_, nil): throw ConfigurationError(.missingValue, "--tls-key is needed: --tls-certificate was given")
        }
    }

    private static func isInstanceByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, 65...90, 97...122: true
        case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: false
        }
    }
}

extension ServiceConfiguration {
    /// An address of another service: "host:port", "dns:name:port" or a comma list; nil when not set.
    package func target(_ key: String) throws -> WireTarget? {
        guard let text = try string(key) else { return nil }
        do {
            return try WireTarget(parsing: text)
        } catch {
            throw invalid(key, expected: "HOST:PORT, dns:NAME:PORT or a comma-separated list of HOST:PORT")
        }
    }
}
