/// What a handler knows about the call it serves.
///
/// The handler's task is cancelled when the client cancels, the deadline passes or the connection is lost.
package struct ServerContext: Sendable {
    package let metadata: Metadata
    /// "fathom.shard.v1.Inference/Generate".
    package let methodFullName: String
    /// The peer's own name from HELLO and its address: "gateway/0.1 127.0.0.1:40000". For logs, not for trust.
    package let peer: String
    /// When the call must have ended; calls made by the handler's task inherit it.
    package let deadline: ContinuousClock.Instant?

    package init(
        metadata: Metadata = [:], methodFullName: String, peer: String, deadline: ContinuousClock.Instant? = nil
    ) {
        self.metadata = metadata
        self.methodFullName = methodFullName
        self.peer = peer
        self.deadline = deadline
    }
}
