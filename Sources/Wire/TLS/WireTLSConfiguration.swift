import NIOSSL

/// TLS 1.3 for one side, from PEM files that are read when the server or client is made.
package struct WireTLSConfiguration: Sendable, Equatable {
    /// Own certificate and intermediates, leaf first. A server needs one; a client only for mutual TLS.
    package var certificateChainPath: String?
    /// Private key of the leaf.
    package var privateKeyPath: String?
    /// Certificates that sign acceptable peers; nil: the system's.
    package var trustRootsPath: String?
    /// Server: refuse clients that show no acceptable certificate (mutual TLS).
    package var requireClientCertificate: Bool
    /// Client: the name the server's certificate must hold, when it is not the host that is connected to. A
    /// certificate for the IP address that is connected to is accepted as well.
    package var serverName: String?
    /// Client: whether the server's certificate must hold its name. Not for one that asks its own machine by loopback,
    /// as a probe does; the chain must lead to a trust root all the same.
    package var verifiesServerName: Bool

    package init(
        certificateChainPath: String? = nil, privateKeyPath: String? = nil, trustRootsPath: String? = nil,
        requireClientCertificate: Bool = false, serverName: String? = nil, verifiesServerName: Bool = true
    ) {
        self.certificateChainPath = certificateChainPath
        self.privateKeyPath = privateKeyPath
        self.trustRootsPath = trustRootsPath
        self.requireClientCertificate = requireClientCertificate
        self.serverName = serverName
        self.verifiesServerName = verifiesServerName
    }

    /// - Throws: `RPCError` INVALID_ARGUMENT naming the file that cannot be used.
    func serverContext() throws(RPCError) -> NIOSSLContext {
        guard certificateChainPath != nil, privateKeyPath != nil else {
            throw RPCError(.invalidArgument, "a TLS server needs a certificate chain and a private key")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try certificates(), privateKey: try privateKey())
        // No name is expected of a client; its chain must lead to a trust root.
        configuration.certificateVerification = requireClientCertificate ? .noHostnameVerification : .none
        return try context(&configuration)
    }

    /// - Throws: `RPCError` INVALID_ARGUMENT naming the file that cannot be used.
    func clientContext() throws(RPCError) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if certificateChainPath != nil {
            configuration.certificateChain = try certificates()
            configuration.privateKey = try privateKey()
        }
        if !verifiesServerName { configuration.certificateVerification = .noHostnameVerification }
        return try context(&configuration)
    }

    private func context(_ configuration: inout TLSConfiguration) throws(RPCError) -> NIOSSLContext {
        configuration.minimumTLSVersion = .tlsv13
        if let trustRootsPath {
            let roots = try Self.reading("trust roots", trustRootsPath) {
                try NIOSSLCertificate.fromPEMFile(trustRootsPath)
            }
            configuration.trustRoots = .certificates(roots)
        }
        let final = configuration
        do {
            return try NIOSSLContext(configuration: final)
        } catch {
            throw RPCError(.invalidArgument, "TLS cannot be set up: certificate and key may not fit", cause: error)
        }
    }

    private func certificates() throws(RPCError) -> [NIOSSLCertificateSource] {
        guard let certificateChainPath else { return [] }
        return try Self.reading("certificate chain", certificateChainPath) {
            try NIOSSLCertificate.fromPEMFile(certificateChainPath).map { .certificate($0) }
        }
    }

    private func privateKey() throws(RPCError) -> NIOSSLPrivateKeySource {
        guard let privateKeyPath else { throw RPCError(.invalidArgument, "a certificate chain needs a private key") }
        return try Self.reading("private key", privateKeyPath) {
            .privateKey(try NIOSSLPrivateKey(file: privateKeyPath, format: .pem))
        }
    }

    private static func reading<T>(_ what: String, _ path: String, _ body: () throws -> T) throws(RPCError) -> T {
        do {
            return try body()
        } catch {
            throw RPCError(.invalidArgument, "\(what) \(path) cannot be read as PEM", cause: error)
        }
    }
}
