import NIOSSL
import Wire

/// TLS of the public port, from the settings that the wire uses as well.
enum ServerTLS {
    /// - Throws: `GatewayError` naming the setting that is missing, or what NIOSSL throws for a file it cannot use.
    static func configuration(_ settings: WireTLSConfiguration) throws -> TLSConfiguration {
        guard let certificatePath = settings.certificateChainPath, let keyPath = settings.privateKeyPath else {
            throw GatewayError(
                code: .invalidConfiguration, message: "TLS needs both --tls-certificate and --tls-key")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(certificatePath).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: keyPath, format: .pem)))
        configuration.minimumTLSVersion = .tlsv13
        configuration.applicationProtocols = ["h2", "http/1.1"]
        if let roots = settings.trustRootsPath { configuration.trustRoots = .file(roots) }
        if settings.requireClientCertificate { configuration.certificateVerification = .noHostnameVerification }
        return configuration
    }
}
