import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceSupport

/// The monitor's HTTP side: the page, what it polls, Prometheus text and the liveness probe. All read-only.
///
/// - `GET /`: the page.
/// - `GET /api/cluster`: ``ClusterDocument``.
/// - `GET /api/history?since=MILLISECONDS`: rows of the cluster's series newer than that time; all without it.
/// - `GET /api/members/{key}/history?since=…&metric=NAME`: rows of one member's counters and gauges.
/// - `GET /metrics`: Prometheus text of all members and of the monitor itself.
/// - `GET /livez`: 200 while the process answers at all.
///
/// A request for a host that is not this monitor's is answered with 421, see ``AllowedHosts``.
package struct MonitorRoutes: Sendable {
    let state: ClusterState
    let metrics: MetricsRegistry
    let hosts: AllowedHosts

    package init(
        state: ClusterState, metrics: MetricsRegistry,
        hosts: AllowedHosts = AllowedHosts(boundHost: "127.0.0.1", names: [])
    ) {
        self.state = state
        self.metrics = metrics
        self.hosts = hosts
    }

    /// The router with all routes.
    package func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.add(middleware: AllowedHostsMiddleware(hosts: hosts))
        router.get("/") { _, _ in Self.page() }
        router.get("/livez") { _, _ in Self.response("ok\n", type: "text/plain; charset=utf-8") }
        router.get("/metrics") { _, _ in
            let text = state.read { model, now in ClusterMetrics.text(model, now: now, own: metrics) }
            return Self.response(text, type: PrometheusText.contentType)
        }
        router.get("/api/cluster") { _, _ in
            try Self.json(state.read { model, now in ClusterDocument(model, now: now) })
        }
        router.get("/api/history") { request, _ in
            let since = try Self.since(request)
            return try Self.json(HistoryDocument(state.read { model, _ in model.history.rows(since: since) }))
        }
        router.get("/api/members/:key/history") { request, context in
            let since = try Self.since(request)
            let key = try context.parameters.require("key")
            let metrics = request.uri.queryParameters[values: "metric"].map(String.init)
            guard let rows = state.read({ model, _ in model.members[key]?.history.rows(since: since) }) else {
                throw HTTPError(.notFound, message: "no such member")
            }
            return try Self.json(HistoryDocument(rows, names: metrics.isEmpty ? nil : Set(metrics)))
        }
        return router
    }

    /// The page is one file without references; the policy makes sure that it stays so.
    private static let pagePolicy =
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
        + "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    private static func page() -> Response {
        var response = response(
            ByteBuffer(bytes: PackageResources.dashboard_html), type: "text/html; charset=utf-8")
        if let name = HTTPField.Name("Content-Security-Policy") { response.headers[name] = pagePolicy }
        return response
    }

    private static func json(_ document: some Encodable) throws -> Response {
        response(ByteBuffer(bytes: try JSONEncoder().encode(document)), type: "application/json")
    }

    private static func response(_ text: String, type: String) -> Response {
        response(ByteBuffer(string: text), type: type)
    }

    private static func response(_ body: ByteBuffer, type: String) -> Response {
        var headers: HTTPFields = [.contentType: type, .cacheControl: "no-store"]
        if let name = HTTPField.Name("X-Content-Type-Options") { headers[name] = "nosniff" }
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: body))
    }

    private static func since(_ request: Request) throws -> Int64 {
        guard let text = request.uri.queryParameters["since"] else { return .min }
        guard let since = Int64(text) else {
            throw HTTPError(.badRequest, message: "since: expected unix milliseconds")
        }
        return since
    }
}
