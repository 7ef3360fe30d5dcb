import SwiftProtobuf
import Wire

/// A method without its types: what a test holds against the `.proto` files.
package struct MethodDescription: Sendable, Hashable {
    /// "fathom.shard.v1.Inference/Generate".
    package let fullName: String
    package let shape: RPCShape
    /// Full protobuf names of the messages.
    package let requestName: String
    package let responseName: String

    package init<Request, Response>(_ method: RPCMethod<Request, Response>) {
        self.init(
            fullName: method.fullName, shape: method.shape, requestName: Request.protoMessageName,
            responseName: Response.protoMessageName)
    }

    package init(fullName: String, shape: RPCShape, requestName: String, responseName: String) {
        self.fullName = fullName
        self.shape = shape
        self.requestName = requestName
        self.responseName = responseName
    }
}
