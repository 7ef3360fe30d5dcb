import NIOCore

/// Reads one frame body (the bytes after the length prefix).
///
/// Unknown fields are skipped, the last occurrence of a field wins, and `message` and `attachment` come back as slices of
/// the given buffer: nothing is copied.
package enum FrameDecoder {
    /// Decodes all readable bytes of `buffer` as one frame.
    ///
    /// - Throws: `ConnectionFault` PROTOCOL_ERROR when the bytes are no frame, the kind is unknown or a field that the
    ///   kind needs is missing.
    package static func decode(_ buffer: ByteBuffer) throws(ConnectionFault) -> Frame {
        let fields = try buffer.withUnsafeReadableBytes { bytes throws(ConnectionFault) in try Fields(bytes) }
        return try fields.frame(in: buffer)
    }
}

/// The fields of a frame as they were found, before it is known whether they make sense together.
private struct Fields {
    var kind: UInt64 = 0
    var streamID: UInt64 = 0
    var endStream = false
    var hasMessage = false
    var credits: UInt64 = 0
    var token: UInt64 = 0
    var hello: Frame.Hello?
    var open: Frame.Open?
    var status: Frame.Status?
    var goAway: Frame.GoAway?
    var message = 0..<0
    var attachment = 0..<0

    init(_ bytes: UnsafeRawBufferPointer) throws(ConnectionFault) {
        var reader = ProtobufReader(bytes, range: 0..<bytes.count)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (FrameField.kind, .number(let number)): kind = number
            case (FrameField.streamID, .number(let number)): streamID = number
            case (FrameField.endStream, .number(let number)): endStream = number != 0
            case (FrameField.credits, .number(let number)): credits = number
            case (FrameField.token, .number(let number)): token = number
            case (FrameField.hasMessage, .number(let number)): hasMessage = number != 0
            case (FrameField.message, .bytes(let range)): message = range
            case (FrameField.attachment, .bytes(let range)): attachment = range
            case (FrameField.hello, .bytes(let range)): hello = try Self.hello(reader.message(range))
            case (FrameField.open, .bytes(let range)): open = try Self.open(reader.message(range))
            case (FrameField.status, .bytes(let range)): status = try Self.status(reader.message(range))
            case (FrameField.goAway, .bytes(let range)): goAway = try Self.goAway(reader.message(range))
            case (1...10, _), (14...15, _):
                throw ConnectionFault(.protocolError, "frame field \(field) has the wrong wire type")
            default: break
            }
        }
    }

    func frame(in buffer: ByteBuffer) throws(ConnectionFault) -> Frame {
        guard let stream = UInt32(exactly: streamID) else {
            throw ConnectionFault(.protocolError, "stream id \(streamID) is larger than 32 bits")
        }
        switch kind {
        case FrameField.Kind.message:
            guard let payload = payload(in: buffer) else { throw missing("has_message", "MESSAGE") }
            return .message(stream: stream, payload, endStream: endStream)
        case FrameField.Kind.open:
            guard let open else { throw missing("open", "OPEN") }
            return .open(stream: stream, open, payload(in: buffer), endStream: endStream)
        case FrameField.Kind.status:
            guard let status else { throw missing("status", "STATUS") }
            return .status(stream: stream, status, payload(in: buffer))
        case FrameField.Kind.credit:
            guard let bytes = UInt32(exactly: credits), bytes > 0 else {
                throw ConnectionFault(.protocolError, "CREDIT grants \(credits) bytes, expected 1...2^32-1")
            }
            return .credit(stream: stream, bytes: bytes)
        case FrameField.Kind.halfClose: return .halfClose(stream: stream)
        case FrameField.Kind.cancel: return .cancel(stream: stream)
        case FrameField.Kind.ping: return .ping(token: token)
        case FrameField.Kind.pong: return .pong(token: token)
        case FrameField.Kind.hello:
            guard let hello else { throw missing("hello", "HELLO") }
            return .hello(hello)
        case FrameField.Kind.goAway:
            guard let goAway else { throw missing("go_away", "GO_AWAY") }
            return .goAway(goAway)
        default: throw ConnectionFault(.protocolError, "frame kind \(kind) is unknown")
        }
    }

    private func missing(_ field: String, _ kind: String) -> ConnectionFault {
        ConnectionFault(.protocolError, "\(kind) frame without \(field)")
    }

    private func payload(in buffer: ByteBuffer) -> Frame.Payload? {
        guard hasMessage else { return nil }
        return Frame.Payload(
            message: slice(message, of: buffer) ?? ByteBuffer(),
            attachment: attachment.isEmpty ? nil : slice(attachment, of: buffer))
    }

    private func slice(_ range: Range<Int>, of buffer: ByteBuffer) -> ByteBuffer? {
        buffer.getSlice(at: buffer.readerIndex + range.lowerBound, length: range.count)
    }

    private static func hello(_ message: ProtobufReader) throws(ConnectionFault) -> Frame.Hello {
        var reader = message
        var hello = Frame.Hello(version: 0, initialCredits: 0, maxFrameBytes: 0, maxStreams: 0, peer: "")
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .number(let number)): hello.version = UInt32(truncatingIfNeeded: number)
            case (2, .number(let number)): hello.initialCredits = UInt32(truncatingIfNeeded: number)
            case (3, .number(let number)): hello.maxFrameBytes = UInt32(truncatingIfNeeded: number)
            case (4, .number(let number)): hello.maxStreams = UInt32(truncatingIfNeeded: number)
            case (5, .bytes(let range)): hello.peer = try reader.string(range)
            case (1...5, _): throw ConnectionFault(.protocolError, "HELLO field \(field) has the wrong wire type")
            default: break
            }
        }
        return hello
    }

    private static func open(_ message: ProtobufReader) throws(ConnectionFault) -> Frame.Open {
        var reader = message
        var open = Frame.Open(method: "")
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .bytes(let range)): open.method = try reader.string(range)
            case (2, .bytes(let range)): open.metadata.entries.append(try entry(reader.message(range)))
            case (3, .number(let number)): open.timeoutMicroseconds = number
            case (1...3, _): throw ConnectionFault(.protocolError, "OPEN field \(field) has the wrong wire type")
            default: break
            }
        }
        return open
    }

    private static func status(_ message: ProtobufReader) throws(ConnectionFault) -> Frame.Status {
        var reader = message
        var status = Frame.Status(code: .ok)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            // A code of a later version still is a failure.
            case (1, .number(let number)): status.code = StatusCode(rawValue: Int(clamping: number)) ?? .unknown
            case (2, .bytes(let range)): status.message = try reader.string(range)
            case (3, .bytes(let range)): status.metadata.entries.append(try entry(reader.message(range)))
            case (1...3, _): throw ConnectionFault(.protocolError, "STATUS field \(field) has the wrong wire type")
            default: break
            }
        }
        return status
    }

    private static func entry(_ message: ProtobufReader) throws(ConnectionFault) -> Metadata.Entry {
        var reader = message
        var entry = Metadata.Entry(key: "", value: "")
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .bytes(let range)): entry.key = try reader.string(range)
            case (2, .bytes(let range)): entry.value = try reader.string(range)
            case (1...2, _): throw ConnectionFault(.protocolError, "metadata field \(field) has the wrong wire type")
            default: break
            }
        }
        return entry
    }

    private static func goAway(_ message: ProtobufReader) throws(ConnectionFault) -> Frame.GoAway {
        var reader = message
        var goAway = Frame.GoAway(reason: .unspecified)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .number(let number)):
                goAway.reason = UInt32(exactly: number).flatMap(Frame.GoAway.Reason.init) ?? .unspecified
            case (2, .number(let number)): goAway.lastStreamID = UInt32(truncatingIfNeeded: number)
            case (3, .bytes(let range)): goAway.message = try reader.string(range)
            case (1...3, _): throw ConnectionFault(.protocolError, "GO_AWAY field \(field) has the wrong wire type")
            default: break
            }
        }
        return goAway
    }
}
