import HTTPTypes
import Hummingbird

/// Brings requests to the form in which routes are written, and hands them to the router: paths are normalized, and HEAD
/// finds the route of GET.
struct GatewayResponder: HTTPResponder {
    typealias Context = GatewayContext

    let router: RouterResponder<GatewayContext>

    func respond(to request: Request, context: GatewayContext) async throws -> Response {
        var head = request.head
        var context = context
        context.method = head.method
        if head.method == .head { head.method = .get }
        let target = head.path ?? ""
        if let path = RequestTarget.normalized(target) {
            head.path = path
        } else if !(head.method == .options && target == "*") {
            // Through the router all the same, so that it is logged and counted like every other.
            head.path = "/"
            context.refusal = .malformedRequest("its target is no path, or has broken escapes")
        }
        return try await router.respond(to: Request(head: head, body: request.body), context: context)
    }
}
