import NIOCore
import SwiftProtobuf
import Synchronization
import Testing
import Wire

@Suite(.timeLimit(.minutes(1)))
struct FlowControlTests {
    private static let small = WireLimits(initialCredits: 32 << 10)

    @Test("a slow reader stops a fast writer after one window")
    func slowReader() async throws {
        let written = Counter()
        let chunk = ByteBuffer(repeating: 1, count: 4 << 10)
        var router = RPCRouter()
        router.serverStreaming(TestService.count) { request, writer, _ in
            for index in 0..<Int(request.value) {
                try await writer.write(number(index), attachment: chunk)
                written.increment()
            }
        }
        router.unary(TestService.echo) { request, _ in request }
        let count = 2000
        try await withClient(
            router, client: WireClientConfiguration(limits: Self.small)
        ) { client in
            let responses = try await client.serverStreaming(TestService.count, number(count))
            var iterator = responses.makeAsyncIterator()
            _ = try await iterator.next()
            // Other calls go on while this one is stuck, and each gives the writer time to run ahead.
            for _ in 0..<200 { _ = try await client.unary(TestService.echo, text("x")) }
            // Window 32 KiB, one refill of half a window for what was read, and the frame that overdraws it.
            #expect(written.value <= 16)
            var received = 1
            while try await iterator.next() != nil { received += 1 }
            #expect(received == count)
        }
    }

    @Test("requests to a handler that does not read wait as well, and cancelling the writer frees it")
    func slowHandler() async throws {
        let release = Signal<Void>()
        var router = RPCRouter()
        router.bidirectional(TestService.chat) { requests, writer, _ in
            _ = try await release.next()
            var total = 0
            for try await request in requests { total += request.attachment?.readableBytes ?? 0 }
            try await writer.write(text("\(total)"))
        }
        try await withClient(
            router, server: WireServerConfiguration(limits: Self.small)
        ) { client in
            let sent = Counter()
            let total = try await client.bidirectional(TestService.chat) { writer, responses in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    let chunk = ByteBuffer(repeating: 1, count: 10_000)
                    group.addTask {
                        for _ in 0..<100 {
                            try await writer.write(text(""), attachment: chunk)
                            sent.increment()
                        }
                        writer.finish()
                    }
                    await eventually("the window fills") { sent.value == 4 }
                    // A second writer queues behind and can be cancelled while it waits.
                    let cancelled = Task { try await writer.write(text(""), attachment: chunk) }
                    cancelled.cancel()
                    await #expect(throws: RPCError.self) { try await cancelled.value }
                    release.send()
                    try await group.waitForAll()
                }
                var iterator = responses.makeAsyncIterator()
                return try await iterator.next()?.message.value
            }
            #expect(total == "1000000")
        }
    }

    @Test("a raw stream refuses to queue without bound")
    func rawBound() async throws {
        var router = RPCRouter()
        // A typed handler that never reads: credits are never granted.
        let ended = Signal<Void>()
        router.bidirectional(TestService.chat) { _, _, _ in
            try await withTaskCancellationHandler {
                _ = try await ended.next()
            } onCancel: {
            }
        }
        let limits = WireLimits(initialCredits: 32 << 10, maxUnsentBytes: 100_000)
        try await withClient(
            router, server: WireServerConfiguration(limits: Self.small), client: WireClientConfiguration(limits: limits)
        ) { client in
            let stream = try await client.rawStream(TestService.chat.fullName) { _ in }
            var refused: RPCError?
            for _ in 0..<100 where refused == nil {
                do throws(RPCError) {
                    try stream.send(message: ByteBuffer(), attachment: ByteBuffer(repeating: 0, count: 10_000))
                } catch {
                    refused = error
                }
            }
            #expect(refused?.code == .resourceExhausted)
            #expect(stream.unsentBytes <= 100_000)
            #expect(stream.unsentBytes > 80_000)
            stream.cancel()
            ended.send()
        }
    }

    @Test("messages larger than the window pass one at a time")
    func largerThanWindow() async throws {
        var router = RPCRouter()
        router.bidirectional(TestService.chat) { requests, writer, _ in
            for try await request in requests {
                try await writer.write(text(""), attachment: request.attachment)
            }
        }
        try await withClient(
            router, server: WireServerConfiguration(limits: Self.small),
            client: WireClientConfiguration(limits: Self.small)
        ) { client in
            try await client.bidirectional(TestService.chat) { writer, responses in
                var iterator = responses.makeAsyncIterator()
                for _ in 0..<5 {
                    try await writer.write(text(""), attachment: ByteBuffer(repeating: 3, count: 1 << 20))
                    let answer = try #require(try await iterator.next())
                    #expect(answer.attachment?.readableBytes == 1 << 20)
                }
            }
        }
    }

    @Test("the stream that exceeds the connection's unread bytes fails alone")
    func unreadLimit() async throws {
        let waiting = Signal<Void>()
        var router = RPCRouter()
        router.bidirectional(TestService.chat) { requests, writer, context in
            guard context.metadata["mode"] == "read" else {
                _ = try await waiting.next()
                return
            }
            for try await request in requests { try await writer.write(request.message) }
        }
        let limits = WireLimits(initialCredits: 1 << 20, maxUnreadBytes: 256 << 10)
        try await withClient(router, server: WireServerConfiguration(limits: limits)) { client in
            let error = await rpcError {
                try await client.bidirectional(TestService.chat) { writer, responses in
                    for _ in 0..<10 {
                        try await writer.write(text(""), attachment: ByteBuffer(repeating: 0, count: 100_000))
                    }
                    for try await _ in responses {}
                }
            }
            #expect(error?.code == .resourceExhausted)
            let answer = try await client.bidirectional(
                TestService.chat, options: CallOptions(metadata: ["mode": "read"])
            ) { writer, responses in
                try await writer.write(text("fine"))
                var iterator = responses.makeAsyncIterator()
                return try await iterator.next()?.message.value
            }
            #expect(answer == "fine")
        }
    }
}
