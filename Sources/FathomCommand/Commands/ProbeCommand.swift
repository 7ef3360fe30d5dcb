import ArgumentParser
import Logging
import Wire

/// `fathom probe`: for Kubernetes, which can run a program but neither speaks the wire nor presents a certificate.
struct ProbeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "probe", abstract: "Asks a process for its health; exit status 0 when it serves, 1 otherwise.",
        discussion: """
            Over TLS the server's certificate must lead to one of the trust roots, but may hold any name: a probe asks its
            own machine, by an address that is in no certificate.
            """)

    @Option(help: "HOST:PORT of the process.")
    var address: String

    @Option(help: "Seconds to wait.")
    var timeout = 2.0

    @Option(name: .customLong("tls-trust-roots"), help: "PEM file with the authorities to trust; switches TLS on.")
    var tlsTrustRoots: String?

    @Option(name: .customLong("tls-certificate"), help: "PEM file with the certificate to present; switches TLS on.")
    var tlsCertificate: String?

    @Option(name: .customLong("tls-key"), help: "PEM file with its private key.")
    var tlsKey: String?

    func validate() throws {
        guard timeout > 0, timeout <= 600 else {
            throw ValidationError("--timeout is \(timeout); expected more than 0, at most 600")
        }
        guard (tlsCertificate == nil) == (tlsKey == nil) else {
            throw ValidationError("--tls-certificate and --tls-key come together")
        }
    }

    func run() async throws {
        guard let endpoint = try WireTarget(parsing: address).endpoints.first else {
            throw ValidationError("--address \(address); expected HOST:PORT")
        }
        let logger = Logger(label: "fathom", factory: { _ in SwiftLogNoOpLogHandler() })
        let (health, reason) = await HealthProbe.check(
            host: endpoint.host, port: endpoint.port, tls: tls, timeout: .milliseconds(Int64(timeout * 1000)),
            logger: logger)
        Terminal.write(reason.isEmpty ? "\(health)\n" : "\(health): \(reason)\n")
        if health != "serving" { throw ExitCode(1) }
    }

    private var tls: WireTLSConfiguration? {
        guard tlsTrustRoots != nil || tlsCertificate != nil else { return nil }
        return WireTLSConfiguration(
            certificateChainPath: tlsCertificate, privateKeyPath: tlsKey, trustRootsPath: tlsTrustRoots,
            verifiesServerName: false)
    }
}
