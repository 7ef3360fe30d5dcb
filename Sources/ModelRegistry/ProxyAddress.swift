import Foundation

/// A proxy as the usual variables name it.
package struct ProxyAddress: Sendable, Equatable {
    package var host: String
    package var port: Int
    /// For basic authentication at the proxy.
    package var user: String?
    package var password: String?

    /// The proxy on the way to `endpoint`: `https_proxy` or `http_proxy` by its scheme, else `all_proxy`, each also in
    /// capitals (but `HTTP_PROXY`, which a CGI client can set). Hosts of `no_proxy` and this machine are reached directly.
    ///
    /// - Returns: nil for none.
    /// - Throws: ``ModelRegistryError`` `invalidArgument` for a value that is no `http://HOST:PORT`.
    init?(environment: [String: String], endpoint: String) throws {
        guard let target = URLComponents(string: endpoint), let host = target.host?.lowercased(),
            !HubEndpoint.isLoopback(host), !Self.isExcepted(host, environment)
        else { return nil }
        let names =
            (target.scheme?.lowercased() == "https" ? ["https_proxy", "HTTPS_PROXY"] : ["http_proxy"])
            + ["all_proxy", "ALL_PROXY"]
        guard let name = names.first(where: { environment[$0]?.isEmpty == false }), let text = environment[name] else {
            return nil
        }
        guard let proxy = URLComponents(string: text.contains("://") ? text : "http://" + text),
            proxy.scheme?.lowercased() == "http", let proxyHost = proxy.host, !proxyHost.isEmpty,
            (1...65_535).contains(proxy.port ?? 80)
        else {
            // The value may hold a password.
            throw ModelRegistryError(code: .invalidArgument, message: "$\(name) is not of the form http://HOST:PORT")
        }
        self.host = proxyHost
        port = proxy.port ?? 80
        user = proxy.user
        password = proxy.password
    }

    /// `no_proxy`: names and their subdomains, with or without a leading dot, or `*`.
    private static func isExcepted(_ host: String, _ environment: [String: String]) -> Bool {
        let list = environment["no_proxy"] ?? environment["NO_PROXY"] ?? ""
        return list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces).lowercased() }.contains {
            entry in
            let name = entry.hasPrefix(".") ? String(entry.dropFirst()) : entry
            return entry == "*" || !name.isEmpty && (host == name || host.hasSuffix("." + name))
        }
    }
}
