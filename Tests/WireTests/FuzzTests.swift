import Foundation
import NIOCore
import SwiftProtobuf
import Testing
import Wire

/// A server under fire from peers that send nonsense, while another connection makes calls that must all succeed.
///
/// `FATHOM_FUZZ_FRAMES` sets how many frames are sent (default 20,000).
@Suite(.timeLimit(.minutes(30)))
struct FuzzTests {
    /// SplitMix64: the same seed, the same frames.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    private static var frameCount: Int {
        ProcessInfo.processInfo.environment["FATHOM_FUZZ_FRAMES"].flatMap(Int.init) ?? 20_000
    }

    private static func router() -> RPCRouter {
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in request }
        router.serverStreaming(TestService.count) { request, writer, _ in
            for index in 0..<min(20, Int(clamping: request.value)) { try await writer.write(number(index)) }
        }
        router.bidirectional(TestService.chat) { requests, writer, _ in
            for try await request in requests { try await writer.write(request.message) }
        }
        router.raw(TestService.raw) { stream in
            { event in
                if case .message(let message, _) = event { try? stream.send(message: message) }
            }
        }
        return router
    }

    /// A frame that is valid by itself, on a stream near those that are open.
    private static func plausibleFrame(_ generator: inout Generator, nextStream: inout UInt32) -> Frame {
        let methods = [
            TestService.echo.fullName, TestService.count.fullName, TestService.chat.fullName, TestService.raw,
        ]
        let payload = Frame.Payload(
            message: ByteBuffer(bytes: (0..<Int.random(in: 0...12, using: &generator)).map { UInt8($0) }),
            attachment: Bool.random(using: &generator)
                ? ByteBuffer(repeating: 1, count: .random(in: 0...300, using: &generator)) : nil)
        let known = nextStream > 2 ? UInt32.random(in: 0..<nextStream / 2, using: &generator) * 2 + 1 : 1
        switch Int.random(in: 0..<13, using: &generator) {
        case 0...4:
            defer { nextStream += 2 }
            return .open(
                stream: nextStream,
                .init(
                    method: methods.randomElement(using: &generator) ?? "",
                    metadata: ["k": String(generator.next())],
                    timeoutMicroseconds: .random(in: 0...5000, using: &generator)),
                payload, endStream: Bool.random(using: &generator))
        case 5...7: return .message(stream: known, payload, endStream: false)
        case 8:
            // On a stream that is open for sure: a second half-close is a fault.
            defer { nextStream += 2 }
            return .open(stream: nextStream, .init(method: methods[3]), payload, endStream: true)
        case 9: return .cancel(stream: known)
        case 10: return .credit(stream: known, bytes: .random(in: 1...100_000, using: &generator))
        case 11: return .ping(token: generator.next())
        default: return .pong(token: generator.next())
        }
    }

    /// One frame's bytes: plausible, mutated or random. `harm` is the percentage of frames that are not plausible: most
    /// end the connection, and little of it lets a connection live long enough to reach deep states.
    private static func bytes(_ generator: inout Generator, harm: Int, nextStream: inout UInt32) -> ByteBuffer {
        guard Int.random(in: 0..<100, using: &generator) < harm else {
            return FrameEncoder.encodeContiguous(plausibleFrame(&generator, nextStream: &nextStream))
        }
        switch Int.random(in: 0..<10, using: &generator) {
        case 0..<8:
            var mutated = Array(
                FrameEncoder.encodeContiguous(plausibleFrame(&generator, nextStream: &nextStream)).readableBytesView)
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                // Mostly leave the length alone, so that the mutation reaches the decoder.
                let first = Int.random(in: 0..<10, using: &generator) == 0 ? 0 : FrameEncoder.prefixLength
                let index = Int.random(in: min(first, mutated.count - 1)..<mutated.count, using: &generator)
                mutated[index] = UInt8.random(in: 0...255, using: &generator)
            }
            if Int.random(in: 0..<20, using: &generator) == 0 {
                mutated.removeLast(Int.random(in: 0..<mutated.count, using: &generator))
            }
            return ByteBuffer(bytes: mutated)
        default:
            let count = Int.random(in: 1...80, using: &generator)
            var buffer = ByteBuffer(integer: UInt32(count))
            buffer.writeBytes((0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
            return buffer
        }
    }

    @Test("what the decoder accepts, SwiftProtobuf accepts as well")
    func decoderIsNoLaxer() {
        var generator = Generator(state: 7)
        var nextStream: UInt32 = 1
        var accepted = 0
        for _ in 0..<Self.frameCount {
            var buffer = Self.bytes(&generator, harm: 90, nextStream: &nextStream)
            buffer.moveReaderIndex(forwardBy: min(buffer.readableBytes, FrameEncoder.prefixLength))
            guard (try? FrameDecoder.decode(buffer)) != nil else { continue }
            accepted += 1
            let bytes = Array(buffer.readableBytesView)
            #expect(throws: Never.self) { try Fathom_Wire_V1_Frame(serializedBytes: bytes) }
        }
        #expect(accepted > Self.frameCount / 20)
    }

    @Test("random and mutated frames neither end the server nor disturb another connection")
    func fuzz() async throws {
        let total = Self.frameCount
        let memoryBefore = Self.residentBytes()
        var memoryWarm = memoryBefore
        try await withServer(Self.router()) { server, port in
            let client = WireClient(target: .address(host: "127.0.0.1", port: port), logger: quietLogger)
            let calls = Counter()
            memoryWarm = try await withThrowingTaskGroup(of: Void.self, returning: Int.self) { group in
                group.addTask {
                    while !Task.isCancelled {
                        do {
                            let answer = try await client.unary(TestService.echo, text("alive"))
                            #expect(answer.value == "alive")
                            calls.increment()
                        } catch {
                            guard Task.isCancelled else { throw error }
                        }
                        // Leaves the processors to the fire most of the time.
                        for _ in 0..<50 { await Task.yield() }
                    }
                }
                let warm = try await Self.fire(total, at: port)
                await eventually("the innocent connection makes calls") { calls.value > 0 }
                group.cancelAll()
                return warm
            }
            let final = try await client.unary(TestService.echo, text("still alive"))
            #expect(final.value == "still alive")
            await client.close()
            await eventually("every connection and handler is gone") {
                server.activeConnections == 0 && server.activeHandlers == 0
            }
        }
        let memoryAfter = Self.residentBytes()
        print(
            "fuzz: \(total) frames; resident MiB before \(memoryBefore >> 20), after a tenth \(memoryWarm >> 20), "
                + "at the end \(memoryAfter >> 20)")
        // What one frame could leak at least is its stream: with a million frames that would be hundreds of MiB.
        #expect(memoryAfter - memoryWarm < 64 << 20)
    }

    /// Sends `total` frames over ever new connections. Returns the resident size after the first tenth.
    private static func fire(_ total: Int, at port: Int) async throws -> Int {
        var generator = Generator(state: 42)
        var sent = 0
        var warm = residentBytes()
        while sent < total {
            let peer = try await PlainPeer.connect(port: port)
            // One in ten does not even shake hands.
            if Int.random(in: 0..<10, using: &generator) != 0 { try? await peer.handshake() }
            var nextStream: UInt32 = 1
            let harm = [0, 1, 5, 50].randomElement(using: &generator) ?? 0
            do {
                for _ in 0..<Int.random(in: 1...60, using: &generator) where sent < total {
                    var batch = ByteBuffer()
                    for _ in 0..<4 where sent < total {
                        batch.writeImmutableBuffer(bytes(&generator, harm: harm, nextStream: &nextStream))
                        sent += 1
                    }
                    try await peer.sendAndWait(batch)
                }
            } catch {
                // The server hung up, as it should.
            }
            await peer.close()
            if sent <= total / 10 { warm = residentBytes() }
        }
        return warm
    }

    /// Resident memory of this process; 0 where /proc does not tell.
    private static func residentBytes() -> Int {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return pages * Int(getpagesize())
    }
}
