import NIOCore
import SwiftProtobuf
import Wire

/// Protobuf messages to and from the byte buffers of a raw stream: one allocation to encode, none to decode.
enum PipelineCoding {
    /// A `ByteBuffer` that SwiftProtobuf reads and writes directly.
    private struct BufferBytes: SwiftProtobufContiguousBytes {
        var buffer: ByteBuffer

        init(_ buffer: ByteBuffer) {
            self.buffer = buffer
        }

        init(repeating byte: UInt8, count: Int) {
            buffer = ByteBuffer(repeating: byte, count: count)
        }

        init<Bytes: Swift.Sequence>(_ sequence: Bytes) where Bytes.Element == UInt8 {
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

    /// - Throws: INTERNAL when the message cannot be encoded.
    static func encode(_ message: some Message) throws(RPCError) -> ByteBuffer {
        do {
            let bytes: BufferBytes = try message.serializedBytes()
            return bytes.buffer
        } catch {
            throw RPCError(.internalError, "a pipeline message could not be encoded", cause: error)
        }
    }

    /// - Throws: INVALID_ARGUMENT when the bytes are no such message.
    static func decode<Body: Message>(_ buffer: ByteBuffer, as type: Body.Type = Body.self) throws(RPCError) -> Body {
        do {
            return try Body(serializedBytes: BufferBytes(buffer))
        } catch {
            throw RPCError(
                .invalidArgument, "\(buffer.readableBytes) bytes are no \(Body.protoMessageName)", cause: error)
        }
    }

    /// Hidden states as a frame's attachment: f32 little-endian, as they lie in memory.
    static func attachment(_ hidden: UnsafeBufferPointer<Float>) -> ByteBuffer {
        #if _endian(big)
        #error("hidden states travel little-endian; this machine would have to swap them")
        #endif
        return ByteBuffer(bytes: UnsafeRawBufferPointer(hidden))
    }
}
