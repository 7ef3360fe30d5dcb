import Wire

/// Failures that a head may answer with.
enum RPCErrorCase {
    case outOfRange, invalid, full, unavailable, deadline, internalError

    var error: RPCError {
        switch self {
        case .outOfRange:
            RPCError(.outOfRange, "the prompt has 9999 tokens", metadata: ["max-context-tokens": "2048"])
        case .invalid: RPCError(.invalidArgument, "temperature is 200; expected 0...100")
        case .full: RPCError(.resourceExhausted, "the queue is full", metadata: ["retry-after": "7"])
        case .unavailable: RPCError(.unavailable, "secret detail of stage 1")
        case .deadline: RPCError(.deadlineExceeded, "secret detail")
        case .internalError: RPCError(.internalError, "secret detail")
        }
    }
}
