import AsyncHTTPClient
import Foundation
import NIOSSL

/// How a hub is reached from where only a proxy leads out, or where other authorities count than the system's: what
/// `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE` say to curl, pip and most other programs.
package struct HubRoute: Sendable, Equatable {
    /// The proxy's host and port; nil: none.
    package var proxyHost: String?
    package var proxyPort = 0
    /// For `Proxy-Authorization: Basic`.
    package var proxyUser: String?
    package var proxyPassword: String?
    /// PEM file with the authorities to trust; nil: the system's.
    package var trustRootsPath: String?

    /// What an environment says of the way to `endpoint`.
    ///
    /// - `https_proxy`, `HTTPS_PROXY`, `http_proxy` (in small letters only, as servers set the other from a header of their
    ///   clients), `all_proxy`, `ALL_PROXY`: `http://[USER:PASSWORD@]HOST[:PORT]`.
    /// - `no_proxy`, `NO_PROXY`: hosts and domains separated by commas; `*` for all.
    /// - `SSL_CERT_FILE`.
    ///
    /// - Throws: ``ModelRegistryError`` `invalidArgument` for a proxy that cannot be used. Its text is not quoted: it may
    ///   hold a password.
    package init(to endpoint: String, environment: [String: String]) throws {
        func value(_ names: String...) -> (name: String, text: String)? {
            for name in names { if let text = environment[name], !text.isEmpty { return (name, text) } }
            return nil
        }
        trustRootsPath = value("SSL_CERT_FILE")?.text
        guard let url = URLComponents(string: endpoint), let host = url.host else { return }
        let bypass = value("no_proxy", "NO_PROXY")?.text ?? ""
        guard !Self.isBypassed(host, by: bypass) else { return }
        let found =
            url.scheme == "http"
            ? value("http_proxy", "all_proxy", "ALL_PROXY")
            : value("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        guard let found else { return }
        let text = found.text.contains("://") ? found.text : "http://" + found.text
        guard let proxy = URLComponents(string: text), proxy.scheme == "http", let proxyHost = proxy.host,
            !proxyHost.isEmpty, (1...65_535).contains(proxy.port ?? 80)
        else {
            throw ModelRegistryError(
                code: .invalidArgument, message: "\(found.name): expected http://[USER:PASSWORD@]HOST[:PORT]")
        }
        self.proxyHost = proxyHost
        proxyPort = proxy.port ?? 80
        proxyUser = proxy.user
        proxyPassword = proxy.password
    }

    /// Whether a list of hosts names `host`, or a domain that it is in.
    static func isBypassed(_ host: String, by list: String) -> Bool {
        let host = host.lowercased()
        return list.split(separator: ",").contains { entry in
            let name = entry.trimmingCharacters(in: .whitespaces).lowercased()
            if name == "*" { return true }
            let domain = name.hasPrefix(".") ? String(name.dropFirst()) : name
            return !domain.isEmpty && (host == domain || host.hasSuffix("." + domain))
        }
    }

    /// Makes a client go this way.
    func apply(to settings: inout HTTPClient.Configuration) {
        if let proxyHost {
            settings.proxy = .server(
                host: proxyHost, port: proxyPort,
                authorization: proxyUser.map { .basic(username: $0, password: proxyPassword ?? "") })
        }
        if let trustRootsPath {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .file(trustRootsPath)
            settings.tlsConfiguration = tls
        }
    }
}
