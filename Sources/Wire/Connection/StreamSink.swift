/// Where a stream's inbound side goes. Called on the event loop; `closed` exactly once and last.
protocol StreamSink: AnyObject, Sendable {
    /// A message arrived. The sink calls `stream.consumed` when the application has taken it.
    func received(_ payload: Frame.Payload, on stream: WireStream)
    /// Server only: the client has no more messages.
    func requestsEnded(on stream: WireStream)
    /// The stream is over: nil after STATUS OK, otherwise why.
    func closed(_ error: RPCError?, on stream: WireStream)
}
