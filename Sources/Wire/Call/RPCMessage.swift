import NIOCore

/// One message of a call and the bulk bytes that belong to it.
package struct RPCMessage<Body: WireMessage>: Sendable {
    package var message: Body
    /// Bytes outside of the protobuf message: tensors, file contents. A slice of the receive buffer.
    package var attachment: ByteBuffer?

    package init(message: Body, attachment: ByteBuffer? = nil) {
        self.message = message
        self.attachment = attachment
    }
}
