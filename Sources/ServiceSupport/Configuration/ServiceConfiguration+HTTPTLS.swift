import Wire

/// Whose certificate an HTTP port shows.
package enum HTTPTLSSource: String, CaseIterable, Sendable {
    /// That of the wire, with its rules: the `tls-…` settings.
    case services
    /// One of its own: the `http-tls-…` settings.
    case own
    /// None: for loopback, or behind something that ends TLS.
    case plaintext
}

extension ServiceConfiguration {
    /// The keys of ``httpTLS()``.
    package static let httpTLSKeys = ["http-tls", "http-tls-certificate", "http-tls-key", "http-tls-client-roots"]

    /// TLS of the HTTP port, which is another thing than TLS between the services: its clients are applications, which
    /// know neither the cluster's authority nor have a certificate of it. Configuration keys:
    /// - `http-tls`: a word of ``HTTPTLSSource``; default: `own` with a certificate of its own, else `services`.
    /// - `http-tls-certificate`, `http-tls-key`: PEM files.
    /// - `http-tls-client-roots`: authorities one of which must have signed each client's certificate; not set: clients
    ///   need none.
    ///
    /// - Returns: nil for plaintext.
    /// - Throws: ``ConfigurationError`` for settings that contradict each other.
    package func httpTLS() throws -> WireTLSConfiguration? {
        let certificate = try string("http-tls-certificate")
        let key = try string("http-tls-key")
        let clientRoots = try string("http-tls-client-roots")
        let hasOwn = certificate != nil || key != nil || clientRoots != nil
        let source = try choice("http-tls", default: hasOwn ? HTTPTLSSource.own : .services)
        guard source == .own else {
            guard !hasOwn else {
                throw invalid("http-tls", expected: "own, because other http-tls settings were given")
            }
            return source == .services ? common.tls : nil
        }
        guard let certificate, let key else {
            throw ConfigurationError(
                .missingValue, "--http-tls-certificate and --http-tls-key are needed for a certificate of its own")
        }
        return WireTLSConfiguration(
            certificateChainPath: certificate, privateKeyPath: key, trustRootsPath: clientRoots,
            requireClientCertificate: clientRoots != nil)
    }
}
