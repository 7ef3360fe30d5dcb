import Foundation
import NIOCore
import SwiftProtobuf
import Testing
import Wire

struct FrameCodecTests {
    private static let frames: [Frame] = [
        .hello(.init(initialCredits: 1 << 20, maxFrameBytes: 16 << 20, maxStreams: 1024, peer: "gateway/0.1")),
        .hello(.init(version: 0, initialCredits: 0, maxFrameBytes: 0, maxStreams: 0, peer: "")),
        .open(stream: 1, .init(method: "a.b.C/D"), nil, endStream: false),
        .open(
            stream: .max, .init(method: "a.b.C/Ä", metadata: ["k": "v", "empty": ""], timeoutMicroseconds: .max),
            .init(message: ByteBuffer(), attachment: nil), endStream: true),
        .message(stream: 3, .init(message: ByteBuffer(), attachment: nil), endStream: false),
        .message(
            stream: 3, .init(message: ByteBuffer(bytes: [0, 1, 255]), attachment: ByteBuffer(string: "bulk")),
            endStream: true),
        .message(
            stream: 5, .init(message: payload(20_000), attachment: nil), endStream: false),
        .message(
            stream: 5, .init(message: payload(3), attachment: payload(70_000)), endStream: false),
        .message(
            stream: 5, .init(message: payload(20_000), attachment: payload(20_001)), endStream: false),
        .halfClose(stream: 7),
        .status(stream: 1, .init(code: .ok), .init(message: ByteBuffer(string: "x"))),
        .status(stream: 1, .init(code: .unauthenticated, message: "who?", metadata: ["retry-after": "3"]), nil),
        .cancel(stream: 300),
        .credit(stream: 1, bytes: .max),
        .ping(token: 0), .ping(token: .max), .pong(token: 1 << 60),
        .goAway(.init(reason: .draining, lastStreamID: 9, message: "bye")),
        .goAway(.init(reason: .unspecified)),
    ]

    private static func payload(_ count: Int) -> ByteBuffer {
        ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) })
    }

    @Test("what is encoded is what SwiftProtobuf encodes, byte for byte, and SwiftProtobuf reads it", arguments: frames)
    func encode(frame: Frame) throws {
        var encoded = FrameEncoder.encodeContiguous(frame)
        let prefix = encoded.readInteger(as: UInt32.self)
        let length = try #require(prefix)
        #expect(Int(length) == encoded.readableBytes)
        let reference = Fathom_Wire_V1_Frame(frame)
        let bytes = Array(encoded.readableBytesView)
        #expect(try Fathom_Wire_V1_Frame(serializedBytes: bytes) == reference)
        #expect(try reference.serializedBytes() == bytes)
    }

    @Test("what SwiftProtobuf encodes is read back, also with unknown fields", arguments: frames)
    func decode(frame: Frame) throws {
        let bytes: [UInt8] = try Fathom_Wire_V1_Frame(frame).serializedBytes()
        #expect(try FrameDecoder.decode(ByteBuffer(bytes: bytes)) == frame)
        // Fields 200 (varint), 201 (fixed64), 202 (bytes) and 203 (fixed32), at the front and at the end.
        let unknown: [UInt8] =
            [0xC0, 0x0C, 0xFF, 0x01] + [0xC9, 0x0C, 1, 2, 3, 4, 5, 6, 7, 8] + [0xD2, 0x0C, 2, 0xAA, 0xBB]
            + [0xDD, 0x0C, 1, 2, 3, 4]
        #expect(try FrameDecoder.decode(ByteBuffer(bytes: unknown + bytes + unknown)) == frame)
    }

    @Test("payloads are slices of the buffer they came in")
    func slices() throws {
        let frame = Frame.message(
            stream: 1, .init(message: Self.payload(10), attachment: Self.payload(5000)), endStream: false)
        var encoded = FrameEncoder.encodeContiguous(frame)
        encoded.moveReaderIndex(forwardBy: FrameEncoder.prefixLength)
        guard case .message(_, let decoded, _) = try FrameDecoder.decode(encoded) else {
            Issue.record("expected MESSAGE")
            return
        }
        let whole = encoded.withUnsafeReadableBytes { bytes in
            UInt(bitPattern: bytes.baseAddress)..<(UInt(bitPattern: bytes.baseAddress) + UInt(bytes.count))
        }
        for part in [decoded.message, try #require(decoded.attachment)] {
            #expect(part.withUnsafeReadableBytes { whole.contains(UInt(bitPattern: $0.baseAddress)) })
        }
    }

    @Test("large payloads are written as the caller's own buffers")
    func noCopy() {
        let attachment = Self.payload(FrameEncoder.copyLimit + 1)
        let encoded = FrameEncoder.encode(
            .message(stream: 1, .init(message: Self.payload(9), attachment: attachment), endStream: false),
            allocator: ByteBufferAllocator())
        #expect(encoded.attachment == attachment)
        #expect(encoded.head.readableBytes < 64)
    }

    @Test(
        "bytes that are no frame are refused",
        arguments: [
            [],  // No kind.
            [0x08],  // Cut inside of a varint.
            [0x08, 0x63],  // Kind 99.
            [0x08, 0x03],  // MESSAGE without a message.
            [0x08, 0x01],  // HELLO without hello.
            [0x08, 0x07, 0x10, 0x01],  // CREDIT of nothing.
            [0x0D, 0, 0, 0, 0],  // Kind as fixed32 is tolerated as a number 0: unknown kind.
            [0x0A, 0x01, 0x01],  // Kind as bytes.
            [0x08, 0x03, 0x72, 0xFF, 0x01],  // Message longer than the frame.
            [0x08, 0x06, 0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],  // Stream id beyond 32 bits.
            [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],  // Varint of 11 bytes.
            [0x0B, 0x0C],  // A group.
            [0x00, 0x01],  // Field 0.
            [0x08, 0x02, 0x2A, 0x03, 0x0A, 0x01, 0xFF],  // A method name that is not UTF-8.
        ] as [[UInt8]])
    func malformed(bytes: [UInt8]) {
        #expect(throws: ConnectionFault.self) { try FrameDecoder.decode(ByteBuffer(bytes: bytes)) }
    }

    @Test("frames come out whole whatever the pieces they arrive in", arguments: [1, 2, 3, 7, 64, 1000, 65_536])
    func assembler(pieceLength: Int) throws {
        var all = ByteBuffer()
        for frame in Self.frames { all.writeImmutableBuffer(FrameEncoder.encodeContiguous(frame)) }
        var assembler = FrameAssembler()
        var frames: [Frame] = []
        while let piece = all.readSlice(length: min(pieceLength, all.readableBytes)), piece.readableBytes > 0 {
            // Own storage, as each read of a socket has.
            assembler.append(ByteBuffer(bytes: piece.readableBytesView), allocator: ByteBufferAllocator())
            while let body = try assembler.next(limit: 1 << 20) { frames.append(try FrameDecoder.decode(body)) }
        }
        #expect(frames == Self.frames)
        #expect(assembler.heldBytes == 0)
    }

    @Test("a length above the limit is refused before its bytes arrive, and so is zero")
    func lengths() throws {
        var assembler = FrameAssembler()
        assembler.append(ByteBuffer(integer: UInt32(1001)), allocator: ByteBufferAllocator())
        #expect(throws: ConnectionFault.self) { try assembler.next(limit: 1000) }
        var empty = FrameAssembler()
        empty.append(ByteBuffer(integer: UInt32(0)), allocator: ByteBufferAllocator())
        #expect(throws: ConnectionFault.self) { try empty.next(limit: 1000) }
    }
}

extension Fathom_Wire_V1_Frame {
    /// The generated twin of a native frame.
    init(_ frame: Frame) {
        self.init()
        switch frame {
        case .hello(let hello):
            kind = .hello
            self.hello.version = hello.version
            self.hello.initialCredits = hello.initialCredits
            self.hello.maxFrameBytes = hello.maxFrameBytes
            self.hello.maxStreams = hello.maxStreams
            self.hello.peer = hello.peer
        case .open(let stream, let open, let payload, let endStream):
            kind = .open
            streamID = stream
            self.endStream = endStream
            self.open.method = open.method
            self.open.metadata = open.metadata.entries.map(Fathom_Wire_V1_MetadataEntry.init)
            self.open.timeoutMicroseconds = open.timeoutMicroseconds
            set(payload)
        case .message(let stream, let payload, let endStream):
            kind = .message
            streamID = stream
            self.endStream = endStream
            set(payload)
        case .halfClose(let stream):
            kind = .halfClose
            streamID = stream
        case .status(let stream, let status, let payload):
            kind = .status
            streamID = stream
            self.status.code = UInt32(status.code.rawValue)
            self.status.message = status.message
            self.status.metadata = status.metadata.entries.map(Fathom_Wire_V1_MetadataEntry.init)
            set(payload)
        case .cancel(let stream):
            kind = .cancel
            streamID = stream
        case .credit(let stream, let bytes):
            kind = .credit
            streamID = stream
            credits = bytes
        case .ping(let token):
            kind = .ping
            self.token = token
        case .pong(let token):
            kind = .pong
            self.token = token
        case .goAway(let goAway):
            kind = .goAway
            self.goAway.reason = .init(rawValue: Int(goAway.reason.rawValue)) ?? .unspecified
            self.goAway.lastStreamID = goAway.lastStreamID
            self.goAway.message = goAway.message
        }
    }

    private mutating func set(_ payload: Frame.Payload?) {
        guard let payload else { return }
        hasMessage_p = true
        message = Data(payload.message.readableBytesView)
        attachment = Data(payload.attachment?.readableBytesView ?? ByteBuffer().readableBytesView)
    }
}

extension Fathom_Wire_V1_MetadataEntry {
    fileprivate init(_ entry: Metadata.Entry) {
        self.init()
        key = entry.key
        value = entry.value
    }
}
