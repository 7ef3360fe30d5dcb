import SwiftProtobuf

/// What a request or response is: any generated protobuf message.
package typealias WireMessage = Message & Sendable

/// How many messages flow each way.
package enum RPCShape: Sendable, Hashable {
    /// One request, one response.
    case unary
    /// One request, any number of responses.
    case serverStreaming
    /// Any number of requests and responses, in any order.
    case bidirectional
}

/// A method of a service, with the types of its messages.
///
/// Method tables (module WireProtocols) hold one constant for each rpc of the `.proto` files.
package struct RPCMethod<Request: WireMessage, Response: WireMessage>: Sendable {
    /// "fathom.shard.v1.Inference/Generate".
    package let fullName: String
    package let shape: RPCShape

    package init(_ fullName: String, _ shape: RPCShape) {
        self.fullName = fullName
        self.shape = shape
    }
}
