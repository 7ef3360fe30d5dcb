import HTTPTypes
import Hummingbird
import NIOCore

/// Whether a request was meant for this monitor: the page is open to everybody who reaches the port, so a page of
/// somebody else's must not get a browser inside the network to read it under a name of its own ("DNS rebinding").
///
/// Such a page needs a *name* that it makes point here. Accepted are therefore the names that are certainly ours: those
/// of loopback, the address the page is bound to, and those that were configured. Bound to a wildcard (in a pod), every
/// IP address is ours as well: whoever asks for an address asks for this very machine.
package struct AllowedHosts: Sendable {
    private let names: Set<String>
    private let isWildcard: Bool

    /// - Parameters:
    ///   - boundHost: address of the listener.
    ///   - names: configured names or addresses, without port; letter case does not matter.
    package init(boundHost: String, names: [String]) {
        let bound = Self.normal(boundHost)
        isWildcard = bound == "0.0.0.0" || bound == "::"
        self.names = Set(names.map(Self.normal) + ["localhost", "127.0.0.1", "::1", bound])
    }

    /// Whether a request with this `Host` (or `:authority`) is answered. One without any, from an HTTP/1.0 client, is:
    /// no browser sends such.
    package func allows(_ authority: String?) -> Bool {
        guard let authority else { return true }
        guard let host = Self.host(of: authority) else { return false }
        if names.contains(host) { return true }
        return isWildcard && (try? SocketAddress(ipAddress: host, port: 0)) != nil
    }

    /// The host of "HOST", "HOST:PORT", "[IPV6]" or "[IPV6]:PORT"; nil for anything else.
    private static func host(of authority: String) -> String? {
        let end: String.Index
        let host: Substring
        if authority.hasPrefix("[") {
            guard let close = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<close]
            end = authority.index(after: close)
        } else {
            end = authority.firstIndex(of: ":") ?? authority.endIndex
            host = authority[..<end]
        }
        let port = authority[end...]
        guard !host.isEmpty, port.isEmpty || (port.first == ":" && port.dropFirst().utf8.allSatisfy(isDigit)) else {
            return nil
        }
        return normal(String(host))
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

    /// Names are compared without letter case and without the dot of the root.
    private static func normal(_ name: String) -> String {
        let lower = name.lowercased()
        return lower.hasSuffix(".") ? String(lower.dropLast()) : lower
    }
}

/// Answers 421 to requests for hosts that are not ours.
struct AllowedHostsMiddleware: RouterMiddleware {
    typealias Context = BasicRequestContext

    let hosts: AllowedHosts

    func handle(
        _ request: Request, context: Context, next: (Request, Context) async throws -> Response
    ) async throws -> Response {
        guard hosts.allows(request.head.authority) else {
            throw HTTPError(
                .misdirectedRequest, message: "this host is not served here; name it in --allowed-hosts")
        }
        return try await next(request, context)
    }
}
