import ModelRegistry
import Testing

struct HubRouteTests {
    private func route(
        _ environment: [String: String], to endpoint: String = "https://hub.example.com"
    ) throws -> HubRoute {
        try HubRoute(to: endpoint, environment: environment)
    }

    @Test("the proxy, its password and the authorities come from the usual variables")
    func variables() throws {
        #expect(try route([:]).proxyHost == nil)
        let direct = try route(["HTTPS_PROXY": "http://proxy.example.com:3128"])
        #expect(direct.proxyHost == "proxy.example.com")
        #expect(direct.proxyPort == 3128)
        #expect(direct.proxyUser == nil)
        let named = try route(["https_proxy": "http://me:p%40ss@proxy.example.com", "HTTPS_PROXY": "http://other:1"])
        #expect(named.proxyHost == "proxy.example.com")
        #expect(named.proxyPort == 80)
        #expect(named.proxyUser == "me")
        #expect(named.proxyPassword == "p@ss")
        #expect(try route(["ALL_PROXY": "proxy:8080"]).proxyPort == 8080)
        #expect(try route(["SSL_CERT_FILE": "/ca.pem"]).trustRootsPath == "/ca.pem")
        // Another scheme has another variable; and an HTTP server sets HTTP_PROXY from a header of its clients.
        #expect(try route(["HTTPS_PROXY": "http://p:1"], to: "http://hub.example.com").proxyHost == nil)
        #expect(try route(["HTTP_PROXY": "http://p:1"], to: "http://hub.example.com").proxyHost == nil)
        #expect(try route(["http_proxy": "http://p:1"], to: "http://hub.example.com").proxyHost == "p")
    }

    @Test(
        "hosts and domains without a proxy",
        arguments: [
            ("hub.example.com", true), ("example.com", true), (".example.com", true), ("a.org, EXAMPLE.com", true),
            ("*", true), ("ample.com", false), ("other.example.com", false), ("", false), (",", false),
        ])
    func bypass(list: String, isBypassed: Bool) throws {
        let found = try route(["HTTPS_PROXY": "http://p:1", "NO_PROXY": list])
        #expect((found.proxyHost == nil) == isBypassed)
    }

    @Test(
        "a proxy that cannot be used is refused by name, without its password",
        arguments: ["socks5://me:secret@p:1", "http://", "http://me:secret@p:99999"])
    func refusals(text: String) {
        let error = #expect(throws: ModelRegistryError.self) { try route(["HTTPS_PROXY": text]) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("HTTPS_PROXY") == true)
        #expect(error?.message.contains("secret") == false)
    }
}
