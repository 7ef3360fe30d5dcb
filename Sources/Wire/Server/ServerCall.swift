import Logging

/// One typed call on its way from the event loop to a task of the server.
struct ServerCall: Sendable {
    let call: RPCRouter.Call
    let handler: @Sendable (RPCRouter.Call) async throws -> Frame.Payload?
    let canceller: TaskCanceller
    let logger: Logger
    /// Told when the handler has returned.
    let counters: [HandlerCounter]

    /// Runs the handler and answers. The stream may be over before: by deadline, cancellation or a lost connection.
    func run() async {
        defer { for counter in counters { counter.end() } }
        await canceller.run {
            do {
                let payload = try await CallDeadline.$current.withValue(call.context.deadline) {
                    try await handler(call)
                }
                await answer(payload)
            } catch {
                let rpcError = RPCError(handlerError: error)
                if let cause = rpcError.cause {
                    // The type only: the text of an arbitrary error may quote what the caller sent.
                    logger.warning(
                        "handler failed",
                        metadata: [
                            "rpc.method": "\(call.context.methodFullName)", "error.code": "\(rpcError.code)",
                            "error.type": "\(type(of: cause))",
                        ])
                }
                call.stream.finish(Frame.Status(rpcError))
            }
        }
    }

    private func answer(_ payload: Frame.Payload?) async {
        let ok = Frame.Status(code: .ok)
        guard let payload else { return call.stream.finish(ok) }
        do {
            // Fits in one frame with STATUS unless the client left earlier messages unread.
            if try call.stream.spend(payload) {
                call.stream.finish(ok, lastMessage: payload)
            } else {
                try await call.stream.write(payload)
                call.stream.finish(ok)
            }
        } catch {
            call.stream.finish(Frame.Status(RPCError(handlerError: error)))
        }
    }
}
