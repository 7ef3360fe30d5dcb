import HTTPTypes
import Hummingbird
import Synchronization

/// Which methods a path supports: for 405 and OPTIONS, which Hummingbird's router cannot say.
final class RouteTable: Sendable {
    private struct Route {
        var pattern: [Substring]
        var method: HTTPRequest.Method
    }

    private let routes = Mutex<[Route]>([])

    /// Takes over the routes of a router when all are in it.
    func set(_ descriptions: [Router<GatewayContext>.RouteDescription]) {
        let routes = descriptions.map { Route(pattern: $0.path.description.split(separator: "/"), method: $0.method) }
        self.routes.withLock { $0 = routes }
    }

    /// The methods of a path, sorted, HEAD wherever there is GET and OPTIONS; empty when the path does not exist.
    func methods(of path: String) -> [String] {
        let components = path.split(separator: "/")
        let found = routes.withLock { routes in
            routes.filter { path == "*" || Self.matches($0.pattern, components) }.map(\.method.rawValue)
        }
        guard !found.isEmpty else { return [] }
        var methods = Set(found)
        if methods.contains("GET") { methods.insert("HEAD") }
        methods.insert("OPTIONS")
        return methods.sorted()
    }

    private static func matches(_ pattern: [Substring], _ components: [Substring]) -> Bool {
        var rest = components[...]
        for part in pattern {
            if part == "**" { return !rest.isEmpty }
            guard let component = rest.popFirst(), part == component || part.hasPrefix(":") || part.hasPrefix("{")
            else {
                return false
            }
        }
        return rest.isEmpty
    }
}
