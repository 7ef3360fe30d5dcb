import HTTPTypes
import Hummingbird
import Identity
import Logging
import NIOCore
import Synchronization

/// What a request carries through middleware and route.
struct GatewayContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// The connection, or the HTTP/2 stream.
    let channel: any Channel
    var requestID = ""
    /// As the client sent it; the router sees GET for HEAD.
    var method = HTTPRequest.Method.get
    /// Why no route may answer.
    var refusal: APIError?
    /// Set by `RequestMiddleware` before any route but the open ones.
    var principal = Principal(tenant: "", keyID: "")
    /// What the route learns for the log.
    let record = RequestRecord()

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        channel = source.channel
    }

    /// For upstream calls.
    var scope: RequestScope { RequestScope(principal: principal, requestID: requestID) }
}

/// Counts that a route leaves for the log line of its request.
final class RequestRecord: Sendable {
    struct Values: Sendable {
        /// The served model that answers; never a name that only a client said.
        var model: String?
        var usage: Usage?
        var cache: String?
        /// The code of an error that came after the status was sent.
        var streamError: String?
    }

    private let values = Mutex(Values())

    var current: Values { values.withLock { $0 } }

    func update(_ change: (inout Values) -> Void) {
        values.withLock { change(&$0) }
    }
}
