/// Where a client connects to.
package enum WireTarget: Sendable, Hashable, CustomStringConvertible {
    /// One host, by IP address or name.
    case address(host: String, port: Int)
    /// A name that is looked up again for every attempt: all its addresses are tried.
    case dns(name: String, port: Int)
    /// Endpoints in order of preference: the first that answers is used, every reconnect begins at the front.
    case list([Endpoint])

    /// A host and a port.
    package struct Endpoint: Sendable, Hashable, CustomStringConvertible {
        /// IP address (IPv6 without brackets) or name.
        package var host: String
        /// 1...65535.
        package var port: Int

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    }

    /// Reads "host:port", "[v6]:port", "dns:name:port", or several of the first two with commas between.
    ///
    /// - Throws: `RPCError` INVALID_ARGUMENT.
    package init(parsing text: String) throws(RPCError) {
        if text.hasPrefix("dns:") {
            let endpoint = try Self.endpoint(text.dropFirst(4))
            self = .dns(name: endpoint.host, port: endpoint.port)
            return
        }
        var endpoints: [Endpoint] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            endpoints.append(try Self.endpoint(part.drop { $0 == " " }))
        }
        self = endpoints.count == 1 ? .address(host: endpoints[0].host, port: endpoints[0].port) : .list(endpoints)
    }

    /// What to try, in order.
    package var endpoints: [Endpoint] {
        switch self {
        case .address(let host, let port): [Endpoint(host: host, port: port)]
        case .dns(let name, let port): [Endpoint(host: name, port: port)]
        case .list(let endpoints): endpoints
        }
    }

    package var description: String {
        endpoints.map(\.description).joined(separator: ",")
    }

    private static func endpoint(_ text: Substring) throws(RPCError) -> Endpoint {
        let problem = RPCError(.invalidArgument, "expected host:port with a port in 1...65535, got \"\(text)\"")
        guard let colon = text.lastIndex(of: ":"),
            let port = Int(text[text.index(after: colon)...]), (1...65535).contains(port)
        else { throw problem }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw problem
        }
        guard !host.isEmpty else { throw problem }
        return Endpoint(host: String(host), port: port)
    }
}
