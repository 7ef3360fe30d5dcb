import HTTPTypes
import NIOCore

/// The framing of a stream of server-sent events.
enum ServerSentEvents {
    /// What ends every stream, also one that broke.
    static let done = "data: [DONE]\n\n"
    /// A comment: keeps a silent stream open, and clients skip it.
    static let ping = ": ping\n\n"
    static let contentType = "text/event-stream"

    /// Appends an event whose data is one JSON document (which has no line breaks).
    static func append(_ document: [UInt8], to buffer: inout ByteBuffer) {
        buffer.writeString("data: ")
        buffer.writeBytes(document)
        buffer.writeString("\n\n")
    }

    static var headers: HTTPFields {
        var headers = HTTPFields()
        headers[.contentType] = "\(contentType); charset=utf-8"
        headers[.cacheControl] = "no-cache"
        // Tells nginx not to gather events.
        headers[.accelBuffering] = "no"
        return headers
    }
}

extension HTTPField.Name {
    /// Says whether an answer came from the cache: "hit", "miss" or "bypass".
    static let fathomCache = name("x-fathom-cache")
    static let requestID = name("x-request-id")
    static let accelBuffering = name("x-accel-buffering")

    private static func name(_ text: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(text) else { preconditionFailure("'\(text)' is no header name") }
        return name
    }
}
