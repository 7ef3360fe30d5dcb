import InferenceCore
import NIOCore
import Wire
import WireProtocols

/// One epoch of the stream to the next stage.
final class Downstream: Sendable {
    /// How long joining may take, all later stages together; most of it is for reading a large model.
    static let defaultJoinTimeout = Duration.seconds(120)

    private let stream: RawStream
    /// The stages behind, as they described themselves.
    let stages: [Fathom_Shard_V1_StageDescription]

    private init(stream: RawStream, stages: [Fathom_Shard_V1_StageDescription]) {
        self.stream = stream
        self.stages = stages
    }

    /// Joins the next stage, which may have to load the model first, and opens the stream of steps.
    ///
    /// - Parameters:
    ///   - onResponse: a StepResponse, on the event loop.
    ///   - onClosed: once, on the event loop, possibly before this returns.
    /// - Throws: `RPCError`: what the next stage answered, or UNAVAILABLE.
    static func connect(
        _ client: WireClient, plan: StagePlan, joinTimeout: Duration = defaultJoinTimeout,
        onResponse: @escaping @Sendable (ByteBuffer) -> Void,
        onClosed: @escaping @Sendable (RPCError?) -> Void
    ) async throws -> Downstream {
        let joined = try await client.unary(
            PipelineService.join, plan.proto(), options: CallOptions(timeout: joinTimeout))
        // A middle stage opens the stream while it answers a join; the stream must outlive that call's deadline.
        let stream = try await CallDeadline.$current.withValue(nil) {
            try await client.rawStream(PipelineService.run.fullName, options: CallOptions(metadata: plan.metadata)) {
                event in
                switch event {
                case .message(let message, attachment: _): onResponse(message)
                case .halfClosed: break
                case .closed(let error): onClosed(error)
                }
            }
        }
        return Downstream(stream: stream, stages: joined.stages)
    }

    /// Sends an encoded StepRequest and its hidden states; from any thread, without waiting.
    func send(_ message: ByteBuffer, hidden: UnsafeBufferPointer<Float>) throws(RPCError) {
        try stream.send(message: message, attachment: PipelineCoding.attachment(hidden))
    }

    /// Gives the stream up; `onClosed` follows.
    func cancel() {
        stream.cancel()
    }
}
