import NIOCore
import SwiftProtobuf
import Testing
import Wire

/// What the state machine makes of frames at the wrong time, seen from the other end of the wire.
@Suite(.timeLimit(.minutes(1)))
struct ProtocolFaultTests {
    private static let hello = Frame.hello(
        .init(initialCredits: 1 << 20, maxFrameBytes: 1 << 20, maxStreams: 100, peer: "plain"))
    private static let empty = Frame.Payload(message: ByteBuffer())
    private static let chat = Frame.Open(method: TestService.chat.fullName)

    private static func router() -> RPCRouter {
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in request }
        router.bidirectional(TestService.chat) { requests, _, _ in
            // Holds its stream open, and reads nothing.
            let never = AsyncStream<Void> { _ in }
            for await _ in never {}
            for try await _ in requests {}
        }
        return router
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var frames: [Frame]
        var reason: Frame.GoAway.Reason
    }

    static let faults: [Case] = [
        Case(testDescription: "anything before HELLO", frames: [.ping(token: 1)], reason: .protocolError),
        Case(testDescription: "two HELLOs", frames: [hello, hello], reason: .protocolError),
        Case(
            testDescription: "an unknown version",
            frames: [.hello(.init(version: 2, initialCredits: 1, maxFrameBytes: 1 << 20, maxStreams: 1, peer: ""))],
            reason: .unsupportedVersion),
        Case(
            testDescription: "a HELLO without credits",
            frames: [.hello(.init(initialCredits: 0, maxFrameBytes: 1 << 20, maxStreams: 1, peer: ""))],
            reason: .protocolError),
        Case(
            testDescription: "an even stream id", frames: [hello, .open(stream: 2, chat, nil, endStream: false)],
            reason: .protocolError),
        Case(
            testDescription: "a stream id that descends",
            frames: [
                hello, .open(stream: 5, chat, nil, endStream: false), .open(stream: 3, chat, nil, endStream: false),
            ],
            reason: .protocolError),
        Case(
            testDescription: "a stream opened twice",
            frames: [
                hello, .open(stream: 1, chat, nil, endStream: false), .open(stream: 1, chat, nil, endStream: false),
            ],
            reason: .protocolError),
        Case(
            testDescription: "a message on a stream that never was",
            frames: [hello, .message(stream: 1, empty, endStream: false)], reason: .protocolError),
        Case(
            testDescription: "CREDIT on stream 0", frames: [hello, .credit(stream: 0, bytes: 1)], reason: .protocolError
        ),
        Case(
            testDescription: "a message after half-close",
            frames: [
                hello, .open(stream: 1, chat, nil, endStream: true), .message(stream: 1, empty, endStream: false),
            ],
            reason: .protocolError),
        Case(
            testDescription: "half-close twice",
            frames: [
                hello, .open(stream: 1, chat, nil, endStream: false), .halfClose(stream: 1), .halfClose(stream: 1),
            ],
            reason: .protocolError),
        Case(
            testDescription: "STATUS from a client",
            frames: [hello, .open(stream: 1, chat, nil, endStream: false), .status(stream: 1, .init(code: .ok), nil)],
            reason: .protocolError),
        Case(
            testDescription: "more credits than 2^31",
            frames: [
                hello, .open(stream: 1, chat, nil, endStream: false), .credit(stream: 1, bytes: 1 << 31),
            ],
            reason: .flowControl),
        Case(
            testDescription: "messages beyond the credits",
            frames: [hello, .open(stream: 1, chat, nil, endStream: false)]
                + Array(
                    repeating: .message(
                        stream: 1, .init(message: ByteBuffer(), attachment: ByteBuffer(repeating: 0, count: 40_000)),
                        endStream: false), count: 40),
            reason: .flowControl),
        Case(
            testDescription: "empty messages beyond the credits",
            frames: [hello, .open(stream: 1, chat, nil, endStream: false)]
                + Array(repeating: .message(stream: 1, empty, endStream: false), count: 20_000),
            reason: .flowControl),
    ]

    @Test("a peer that breaks the protocol is told why and cut off; others go on", arguments: faults)
    func fault(_ testCase: Case) async throws {
        try await withServer(Self.router()) { _, port in
            let client = WireClient(target: .address(host: "127.0.0.1", port: port), logger: quietLogger)
            _ = try await client.unary(TestService.echo, text("x"))
            let peer = try await PlainPeer.connect(port: port)
            for frame in testCase.frames { peer.send(frame) }
            var end: Frame.GoAway?
            while end == nil, let frame = try await peer.next() {
                if case .goAway(let goAway) = frame { end = goAway }
            }
            #expect(end?.reason == testCase.reason)
            await peer.close()
            _ = try await client.unary(TestService.echo, text("x"))
            await client.close()
        }
    }

    @Test("an oversized frame is refused by its length alone")
    func oversized() async throws {
        try await withServer(Self.router()) { _, port in
            for (handshakes, length) in [(true, UInt32(16 << 20) + 1), (false, UInt32(5000)), (true, .max)] {
                let peer = try await PlainPeer.connect(port: port)
                if handshakes { try await peer.handshake() } else { _ = try await peer.next() }
                peer.send(ByteBuffer(integer: length))
                guard case .goAway(let goAway) = try await peer.next() else {
                    Issue.record("expected GO_AWAY")
                    return
                }
                #expect(goAway.reason == .frameTooLarge)
                await peer.close()
            }
        }
    }

    @Test("frames of streams that are over are ignored")
    func lateFrames() async throws {
        try await withServer(Self.router()) { _, port in
            let peer = try await PlainPeer.connect(port: port)
            try await peer.handshake()
            peer.send(.open(stream: 1, Self.chat, nil, endStream: false))
            peer.send(.cancel(stream: 1))
            for frame: Frame in [
                .message(stream: 1, Self.empty, endStream: true), .credit(stream: 1, bytes: 5), .halfClose(stream: 1),
                .cancel(stream: 1), .pong(token: 3), .ping(token: 7),
            ] { peer.send(frame) }
            #expect(try await peer.next() == .pong(token: 7))
            await peer.close()
        }
    }

    @Test("a peer that causes replies without end and reads none is cut off")
    func replyFlood() async throws {
        try await withServer(Self.router()) { server, port in
            let peer = try await PlainPeer.connect(port: port, autoRead: false)
            peer.send(Self.hello)
            var pings = ByteBuffer()
            for token in 0..<10_000 {
                pings.writeImmutableBuffer(FrameEncoder.encodeContiguous(.ping(token: UInt64(token + 1))))
            }
            await #expect(throws: (any Error).self) {
                // Far more replies than the socket's buffers hold; ends when the server hangs up.
                for _ in 0..<2000 { try await peer.sendAndWait(pings) }
            }
            await peer.close()
            await eventually("the connection is gone") { server.activeConnections == 0 }
        }
    }

    @Test("a server that breaks the protocol fails the client's calls with UNAVAILABLE")
    func clientSide() async throws {
        let answers: [Frame] = [
            .open(stream: 1, Self.chat, nil, endStream: false),
            .message(stream: 99, Self.empty, endStream: false),
            .cancel(stream: 1),
            .halfClose(stream: 1),
        ]
        for answer in answers {
            try await withPlainServer { frame in
                switch frame {
                case .hello: [Self.hello]
                case .open: [answer]
                default: []
                }
            } _: { port in
                let client = WireClient(target: .address(host: "127.0.0.1", port: port), logger: quietLogger)
                let error = await rpcError {
                    _ = try await client.unary(
                        TestService.echo, text(""), options: CallOptions(timeout: .seconds(20)))
                }
                #expect(error?.code == .unavailable)
                await client.close()
            }
        }
    }

    @Test("a unary call that gets no or two responses is INTERNAL; one that was not processed is made again")
    func unaryResponses() async throws {
        let opens = Counter()
        try await withPlainServer { frame in
            guard case .open(let stream, _, _, _) = frame else {
                if case .hello = frame { return [Self.hello] }
                return []
            }
            opens.increment()
            switch opens.value {
            case 1: return [.status(stream: stream, .init(code: .ok), nil)]
            case 2:
                return [
                    .message(stream: stream, Self.empty, endStream: false),
                    .message(stream: stream, Self.empty, endStream: false),
                ]
            // Not processed: the id is above the last one that is served.
            case 3: return [.goAway(.init(reason: .draining, lastStreamID: stream - 2))]
            default: return [.status(stream: stream, .init(code: .ok), Self.empty)]
            }
        } _: { port in
            let client = WireClient(
                target: .address(host: "127.0.0.1", port: port),
                configuration: WireClientConfiguration(minBackoff: .milliseconds(1)), logger: quietLogger)
            for _ in 0..<2 {
                let error = await rpcError { _ = try await client.unary(TestService.echo, text("")) }
                #expect(error?.code == .internalError)
            }
            _ = try await client.unary(TestService.echo, text(""))
            #expect(opens.value == 4)
            await client.close()
        }
    }
}
