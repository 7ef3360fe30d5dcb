import NIOCore

/// The responses of a call. Iterate once; the sequence ends with nil after OK and by throwing `RPCError` otherwise.
package typealias RPCResponses<Body: WireMessage> = RPCMessages<Body>
/// The requests of a call, as its handler sees them. Iterate once; ends with nil when the client has half-closed.
package typealias RPCRequests<Body: WireMessage> = RPCMessages<Body>

/// Messages of one direction of one call, in order.
///
/// Reading gives the sender credits: who reads slowly slows the sender down. Cancelling the reading task cancels the
/// call. A server-streaming call is also cancelled when its iterator is dropped before the end.
package struct RPCMessages<Body: WireMessage>: AsyncSequence, Sendable {
    package typealias Element = RPCMessage<Body>

    let stream: WireStream
    let queue: InboundQueue
    /// What a message that cannot be decoded means: the client's fault or the server's.
    let decodeFailure: StatusCode
    /// Cancels the call when nothing refers to it any more; nil where another scope ends the call.
    let lifetime: CallLifetime?

    package func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(messages: self, lifetime: lifetime.map { _ in CallLifetime(stream) })
    }

    package struct AsyncIterator: AsyncIteratorProtocol {
        let messages: RPCMessages
        let lifetime: CallLifetime?

        package mutating func next() async throws -> RPCMessage<Body>? {
            guard let payload = try await messages.queue.next(of: messages.stream) else { return nil }
            do {
                return try MessageCoding.decode(payload, failure: messages.decodeFailure)
            } catch {
                messages.stream.cancel(error)
                throw error
            }
        }
    }
}

/// Cancels a call when the last reference goes; without effect on a call that is over.
final class CallLifetime: Sendable {
    private let stream: WireStream

    init(_ stream: WireStream) {
        self.stream = stream
    }

    deinit {
        stream.cancel(RPCError(.cancelled, "the caller stopped reading"))
    }
}
