import ServiceSupport
import Testing
import Wire

struct HTTPTLSTests {
    private func tls(_ http: [String: String], wire: Bool = false) throws -> WireTLSConfiguration? {
        var flags: ServiceFlags = [:]
        for key in ServiceConfiguration.httpTLSKeys { flags.set(key, http[key]) }
        let options = wire ? ["--tls-certificate", "w.pem", "--tls-key", "w.key", "--tls-trust-roots", "ca.pem"] : []
        return try ServiceConfiguration(
            service: "test", options: .parsing(options), flags: flags, environment: [:]
        ).httpTLS()
    }

    private let own = ["http-tls-certificate": "h.pem", "http-tls-key": "h.key"]

    @Test("the HTTP port shows the services' certificate unless it has one of its own or is told to show none")
    func sources() throws {
        #expect(try tls([:]) == nil)
        #expect(try tls([:], wire: true)?.certificateChainPath == "w.pem")
        #expect(try tls(["http-tls": "plaintext"], wire: true) == nil)
        for wire in [false, true] {
            let found = try #require(try tls(own, wire: wire))
            #expect(found.certificateChainPath == "h.pem")
            #expect(found.privateKeyPath == "h.key")
            // Applications know nothing of the cluster's authority.
            #expect(found.trustRootsPath == nil)
            #expect(!found.requireClientCertificate)
        }
        let mutual = try #require(try tls(own.merging(["http-tls-client-roots": "c.pem"]) { $1 }))
        #expect(mutual.requireClientCertificate)
        #expect(mutual.trustRootsPath == "c.pem")
    }

    @Test("settings that contradict each other are refused, with the names of them")
    func contradictions() throws {
        func message(_ settings: [String: String]) -> String {
            do {
                _ = try tls(settings)
                return "(no error)"
            } catch {
                return "\(error)"
            }
        }
        #expect(message(["http-tls": "own"]).contains("--http-tls-certificate"))
        #expect(message(["http-tls-key": "h.key"]).contains("--http-tls-certificate"))
        #expect(message(["http-tls-client-roots": "c.pem"]).contains("--http-tls-certificate"))
        #expect(message(own.merging(["http-tls": "plaintext"]) { $1 }).contains("--http-tls"))
        #expect(message(["http-tls": "maybe"]).contains("services, own, plaintext"))
    }
}
