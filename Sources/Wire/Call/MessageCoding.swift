import NIOCore
import SwiftProtobuf

/// A `ByteBuffer` that SwiftProtobuf reads and writes directly: one allocation to encode, none to decode.
private struct BufferBytes: SwiftProtobufContiguousBytes {
    var buffer: ByteBuffer

    init(_ buffer: ByteBuffer) {
        self.buffer = buffer
    }

    init(repeating byte: UInt8, count: Int) {
        buffer = ByteBuffer(repeating: byte, count: count)
    }

    init<Bytes: Sequence>(_ sequence: Bytes) where Bytes.Element == UInt8 {
        buffer = ByteBuffer(bytes: sequence)
    }

    var count: Int { buffer.readableBytes }

    func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try buffer.withUnsafeReadableBytes(body)
    }

    mutating func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R {
        try buffer.withUnsafeMutableReadableBytes(body)
    }
}

/// Typed messages from and to payloads.
enum MessageCoding {
    /// - Throws: INTERNAL when the message cannot be encoded.
    static func encode(_ message: some Message, attachment: ByteBuffer? = nil) throws(RPCError) -> Frame.Payload {
        do {
            let bytes: BufferBytes = try message.serializedBytes()
            return Frame.Payload(message: bytes.buffer, attachment: attachment)
        } catch {
            throw RPCError(.internalError, "a message could not be encoded", cause: error)
        }
    }

    /// - Throws: `code` when the bytes are no such message.
    static func decode<Body: WireMessage>(
        _ payload: Frame.Payload, as type: Body.Type = Body.self, failure code: StatusCode
    ) throws(RPCError) -> RPCMessage<Body> {
        do {
            let message = try Body(serializedBytes: BufferBytes(payload.message))
            return RPCMessage(message: message, attachment: payload.attachment)
        } catch {
            throw RPCError(
                code, "\(payload.message.readableBytes) bytes are no \(Body.protoMessageName)", cause: error)
        }
    }
}
