import NIOCore

/// The sending side of a call: requests on the client, responses on the server. Usable from several tasks.
package struct RPCWriter<Body: WireMessage>: Sendable {
    let stream: WireStream
    /// Only the client's side ends with `finish`; the server's ends when its handler returns.
    let isClient: Bool

    /// Sends one message. Waits while the peer has not read what was sent before.
    ///
    /// - Throws: `RPCError`: what the call ended with, CANCELLED when the task is cancelled, RESOURCE_EXHAUSTED when the
    ///   peer takes no message that large.
    package func write(_ message: Body, attachment: ByteBuffer? = nil) async throws {
        try await stream.write(try MessageCoding.encode(message, attachment: attachment))
    }

    /// Tells the server that no more requests follow. Without effect when repeated, or in a handler.
    package func finish() {
        if isClient { stream.halfClose() }
    }
}
