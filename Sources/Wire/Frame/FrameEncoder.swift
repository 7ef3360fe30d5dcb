import NIOCore

/// Writes frames: length prefix, fields in ascending order, `message` and `attachment` last.
///
/// A small payload is copied behind the header, so that a frame is one buffer and one write. A large one is appended as
/// the caller's own slices, so that bulk bytes are never copied.
package enum FrameEncoder {
    /// Payloads up to this many bytes are copied into the frame's buffer: below it a copy is cheaper than more parts.
    package static let copyLimit = 16 << 10
    /// Room for everything but strings and payload bytes.
    private static let headerCapacity = 64

    /// Bytes that every frame begins with: the big-endian length of what follows.
    package static let prefixLength = 4

    /// A frame as it goes into the socket: one buffer, or a header and the parts that follow it.
    package struct Encoded {
        /// Length prefix and fields, with the payload when it was small.
        package var head: ByteBuffer
        /// The large `message`, when it was not copied.
        package var message: ByteBuffer?
        /// What stands between: the tag and length of `attachment`, when `message` was not copied.
        package var attachmentHead: ByteBuffer?
        package var attachment: ByteBuffer?
    }

    /// Encodes `frame` with its prefix.
    package static func encode(_ frame: Frame, allocator: ByteBufferAllocator) -> Encoded {
        switch frame {
        case .message(let stream, let payload, let endStream):
            return encode(payload, allocator: allocator, extra: 0) { buffer in
                buffer.writeHead(FrameField.Kind.message, stream: stream)
                if endStream { buffer.writeNumber(1, field: FrameField.endStream) }
            }
        case .open(let stream, let open, let payload, let endStream):
            let body = open.encoded(allocator)
            return encode(payload, allocator: allocator, extra: body.readableBytes) { buffer in
                buffer.writeHead(FrameField.Kind.open, stream: stream)
                if endStream { buffer.writeNumber(1, field: FrameField.endStream) }
                buffer.writeBytesField(body, field: FrameField.open)
            }
        case .status(let stream, let status, let payload):
            let body = status.encoded(allocator)
            return encode(payload, allocator: allocator, extra: body.readableBytes) { buffer in
                buffer.writeHead(FrameField.Kind.status, stream: stream)
                buffer.writeBytesField(body, field: FrameField.status)
            }
        case .halfClose(let stream):
            return encode(nil, allocator: allocator, extra: 0) { buffer in
                buffer.writeHead(FrameField.Kind.halfClose, stream: stream)
            }
        case .cancel(let stream):
            return encode(nil, allocator: allocator, extra: 0) { buffer in
                buffer.writeHead(FrameField.Kind.cancel, stream: stream)
            }
        case .credit(let stream, let bytes):
            return encode(nil, allocator: allocator, extra: 0) { buffer in
                buffer.writeHead(FrameField.Kind.credit, stream: stream)
                buffer.writeNumber(UInt64(bytes), field: FrameField.credits)
            }
        case .ping(let token):
            return encode(nil, allocator: allocator, extra: 0) { buffer in
                buffer.writeHead(FrameField.Kind.ping, stream: 0)
                buffer.writeFixed64(token, field: FrameField.token)
            }
        case .pong(let token):
            return encode(nil, allocator: allocator, extra: 0) { buffer in
                buffer.writeHead(FrameField.Kind.pong, stream: 0)
                buffer.writeFixed64(token, field: FrameField.token)
            }
        case .hello(let hello):
            let body = hello.encoded(allocator)
            return encode(nil, allocator: allocator, extra: body.readableBytes) { buffer in
                buffer.writeHead(FrameField.Kind.hello, stream: 0)
                buffer.writeBytesField(body, field: FrameField.hello)
            }
        case .goAway(let goAway):
            let body = goAway.encoded(allocator)
            return encode(nil, allocator: allocator, extra: body.readableBytes) { buffer in
                buffer.writeHead(FrameField.Kind.goAway, stream: 0)
                buffer.writeBytesField(body, field: FrameField.goAway)
            }
        }
    }

    /// The same as one contiguous buffer, for tests and tools.
    package static func encodeContiguous(_ frame: Frame) -> ByteBuffer {
        var encoded = encode(frame, allocator: ByteBufferAllocator())
        for part in [encoded.message, encoded.attachmentHead, encoded.attachment] {
            if var part { encoded.head.writeBuffer(&part) }
        }
        return encoded.head
    }

    /// Bytes a frame with this payload takes at most beyond the payload and its strings.
    package static let maximumOverhead = headerCapacity

    @inline(__always)
    private static func encode(
        _ payload: Frame.Payload?, allocator: ByteBufferAllocator, extra: Int, _ writeFields: (inout ByteBuffer) -> Void
    ) -> Encoded {
        let messageLength = payload?.message.readableBytes ?? 0
        let attachmentLength = payload?.attachment?.readableBytes ?? 0
        let copied = messageLength + attachmentLength <= copyLimit
        var head = allocator.buffer(capacity: headerCapacity + extra + (copied ? messageLength + attachmentLength : 0))
        head.writeInteger(UInt32(0))
        writeFields(&head)
        guard let payload else {
            head.setLengthPrefix(trailing: 0)
            return Encoded(head: head)
        }
        head.writeNumber(1, field: FrameField.hasMessage)
        if copied {
            if messageLength > 0 { head.writeBytesField(payload.message, field: FrameField.message) }
            if let attachment = payload.attachment, attachmentLength > 0 {
                head.writeBytesField(attachment, field: FrameField.attachment)
            }
            head.setLengthPrefix(trailing: 0)
            return Encoded(head: head)
        }
        guard messageLength > copyLimit else {
            // Usual for tensors: a small message, a large attachment.
            if messageLength > 0 { head.writeBytesField(payload.message, field: FrameField.message) }
            head.writeBytesHead(attachmentLength, field: FrameField.attachment)
            head.setLengthPrefix(trailing: attachmentLength)
            return Encoded(head: head, attachment: payload.attachment)
        }
        head.writeBytesHead(messageLength, field: FrameField.message)
        guard let attachment = payload.attachment, attachmentLength > 0 else {
            head.setLengthPrefix(trailing: messageLength)
            return Encoded(head: head, message: payload.message)
        }
        var attachmentHead = allocator.buffer(capacity: 16)
        attachmentHead.writeBytesHead(attachmentLength, field: FrameField.attachment)
        head.setLengthPrefix(trailing: messageLength + attachmentHead.readableBytes + attachmentLength)
        return Encoded(
            head: head, message: payload.message, attachmentHead: attachmentHead, attachment: attachment)
    }
}

extension Frame.Hello {
    fileprivate func encoded(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        var buffer = allocator.buffer(capacity: 40 + peer.utf8.count)
        buffer.writeNonZero(UInt64(version), field: 1)
        buffer.writeNonZero(UInt64(initialCredits), field: 2)
        buffer.writeNonZero(UInt64(maxFrameBytes), field: 3)
        buffer.writeNonZero(UInt64(maxStreams), field: 4)
        buffer.writeStringField(peer, field: 5)
        return buffer
    }
}

extension Frame.Open {
    fileprivate func encoded(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        var buffer = allocator.buffer(capacity: 16 + method.utf8.count)
        buffer.writeStringField(method, field: 1)
        buffer.writeMetadata(metadata, field: 2, allocator)
        buffer.writeNonZero(timeoutMicroseconds, field: 3)
        return buffer
    }
}

extension Frame.Status {
    fileprivate func encoded(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        var buffer = allocator.buffer(capacity: 8 + message.utf8.count)
        buffer.writeNonZero(UInt64(code.rawValue), field: 1)
        buffer.writeStringField(message, field: 2)
        buffer.writeMetadata(metadata, field: 3, allocator)
        return buffer
    }
}

extension Frame.GoAway {
    fileprivate func encoded(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        var buffer = allocator.buffer(capacity: 16 + message.utf8.count)
        buffer.writeNonZero(UInt64(reason.rawValue), field: 1)
        buffer.writeNonZero(UInt64(lastStreamID), field: 2)
        buffer.writeStringField(message, field: 3)
        return buffer
    }
}

extension ByteBuffer {
    /// Protobuf varint.
    @inline(__always)
    fileprivate mutating func writeVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            writeInteger(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        writeInteger(UInt8(truncatingIfNeeded: rest))
    }

    fileprivate mutating func writeNumber(_ value: UInt64, field: Int) {
        writeVarint(UInt64(field << 3 | FrameField.WireType.varint))
        writeVarint(value)
    }

    /// proto3 leaves zeroes out.
    fileprivate mutating func writeNonZero(_ value: UInt64, field: Int) {
        if value != 0 { writeNumber(value, field: field) }
    }

    fileprivate mutating func writeFixed64(_ value: UInt64, field: Int) {
        guard value != 0 else { return }
        writeVarint(UInt64(field << 3 | FrameField.WireType.fixed64))
        writeInteger(value, endianness: .little)
    }

    fileprivate mutating func writeBytesHead(_ length: Int, field: Int) {
        writeVarint(UInt64(field << 3 | FrameField.WireType.lengthDelimited))
        writeVarint(UInt64(length))
    }

    fileprivate mutating func writeBytesField(_ bytes: ByteBuffer, field: Int) {
        writeBytesHead(bytes.readableBytes, field: field)
        writeImmutableBuffer(bytes)
    }

    fileprivate mutating func writeStringField(_ string: String, field: Int) {
        guard !string.isEmpty else { return }
        writeBytesHead(string.utf8.count, field: field)
        writeString(string)
    }

    fileprivate mutating func writeMetadata(_ metadata: Metadata, field: Int, _ allocator: ByteBufferAllocator) {
        for entry in metadata.entries {
            var buffer = allocator.buffer(capacity: 16 + entry.key.utf8.count + entry.value.utf8.count)
            buffer.writeStringField(entry.key, field: 1)
            buffer.writeStringField(entry.value, field: 2)
            writeBytesField(buffer, field: field)
        }
    }

    fileprivate mutating func writeHead(_ kind: UInt64, stream: UInt32) {
        writeNumber(kind, field: FrameField.kind)
        writeNonZero(UInt64(stream), field: FrameField.streamID)
    }

    /// Fills in the prefix at the start: what is here behind it, and `trailing` bytes that follow in other buffers.
    fileprivate mutating func setLengthPrefix(trailing: Int) {
        setInteger(
            UInt32(readableBytes - FrameEncoder.prefixLength + trailing), at: readerIndex)
    }
}
