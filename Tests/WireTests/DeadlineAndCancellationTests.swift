import NIOCore
import SwiftProtobuf
import Synchronization
import Testing
import Wire

@Suite(.timeLimit(.minutes(1)))
struct DeadlineAndCancellationTests {
    /// Waits until the task is cancelled, and says so.
    private static func waitForCancellation(_ cancelled: Signal<Void>) async throws {
        let never = AsyncStream<Void> { _ in }
        for await _ in never {}
        if Task.isCancelled { cancelled.send() }
        throw CancellationError()
    }

    @Test("a deadline ends the call on the client and cancels the handler")
    func deadlineOnBothEnds() async throws {
        let cancelled = Signal<Void>()
        let left = Signal<Duration>()
        var router = RPCRouter()
        router.unary(TestService.echo) { request, context in
            if let deadline = context.deadline { left.send(ContinuousClock.now.duration(to: deadline)) }
            try await Self.waitForCancellation(cancelled)
            return request
        }
        try await withClient(router) { client in
            // Connected first and long enough, so that the call reaches its handler on a busy machine as well.
            try await client.waitUntilConnected()
            let error = await rpcError {
                _ = try await client.unary(TestService.echo, text(""), options: CallOptions(timeout: .seconds(2)))
            }
            #expect(error?.code == .deadlineExceeded)
            #expect(try await left.next() <= .seconds(2))
            try await cancelled.next()
        }
    }

    @Test("the server answers DEADLINE_EXCEEDED itself when the client keeps no time")
    func deadlineOnServer() async throws {
        let cancelled = Signal<Void>()
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in
            try await Self.waitForCancellation(cancelled)
            return request
        }
        try await withServer(router) { _, port in
            let peer = try await PlainPeer.connect(port: port)
            try await peer.handshake()
            peer.send(
                .open(
                    stream: 1, Frame.Open(method: TestService.echo.fullName, timeoutMicroseconds: 50_000),
                    Frame.Payload(message: ByteBuffer()), endStream: true))
            let frame = try await peer.next()
            guard case .status(1, let status, nil) = frame else {
                Issue.record("expected STATUS, got \(String(describing: frame))")
                return
            }
            #expect(status.code == .deadlineExceeded)
            try await cancelled.next()
            await peer.close()
        }
    }

    @Test("a call whose deadline has passed is not sent")
    func deadlineBeforeSending() async throws {
        let calls = Counter()
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in
            calls.increment()
            return request
        }
        try await withClient(router) { client in
            try await client.waitUntilConnected()
            let error = await rpcError {
                _ = try await client.unary(TestService.echo, text(""), options: CallOptions(timeout: .zero))
            }
            #expect(error?.code == .deadlineExceeded)
            #expect(calls.value == 0)
        }
    }

    @Test("a call made inside of a handler inherits its deadline")
    func deadlinePropagates() async throws {
        let inner = Signal<Duration?>()
        var innerRouter = RPCRouter()
        innerRouter.unary(TestService.echo) { request, context in
            inner.send(context.deadline.map { ContinuousClock.now.duration(to: $0) })
            return request
        }
        try await withClient(innerRouter) { innerClient in
            var router = RPCRouter()
            router.unary(TestService.echo) { request, _ in
                try await innerClient.unary(TestService.echo, request, options: CallOptions(timeout: .seconds(500)))
            }
            try await withClient(router) { client in
                _ = try await client.unary(
                    TestService.echo, text(""), options: CallOptions(timeout: .seconds(20)))
                let left = try #require(try await inner.next())
                #expect(left <= .seconds(20))
            }
        }
    }

    @Test("cancelling the caller's task cancels the handler")
    func cancelUnary() async throws {
        let started = Signal<Void>()
        let cancelled = Signal<Void>()
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in
            started.send()
            try await Self.waitForCancellation(cancelled)
            return request
        }
        try await withClient(router) { client in
            let call = Task { try await client.unary(TestService.echo, text("")) }
            try await started.next()
            call.cancel()
            let error = await rpcError { _ = try await call.value }
            #expect(error?.code == .cancelled)
            try await cancelled.next()
        }
    }

    @Test("leaving the loop over responses early cancels the handler")
    func dropIterator() async throws {
        let cancelled = Signal<Void>()
        var router = RPCRouter()
        router.serverStreaming(TestService.count) { _, writer, _ in
            try await writer.write(number(1))
            try await Self.waitForCancellation(cancelled)
        }
        try await withClient(router) { client in
            for try await _ in try await client.serverStreaming(TestService.count, number(1)) { break }
            try await cancelled.next()
        }
    }

    @Test("the end of a bidirectional body cancels the handler")
    func bodyEnds() async throws {
        let cancelled = Signal<Void>()
        var router = RPCRouter()
        router.bidirectional(TestService.chat) { _, _, _ in
            try await Self.waitForCancellation(cancelled)
        }
        try await withClient(router) { client in
            struct Enough: Error {}
            await #expect(throws: Enough.self) {
                try await client.bidirectional(TestService.chat) { writer, _ in
                    try await writer.write(text("x"))
                    throw Enough()
                }
            }
            try await cancelled.next()
        }
    }

    @Test("cancelling a raw stream reaches the server's end and comes back")
    func cancelRaw() async throws {
        let serverClosed = Signal<RPCError?>()
        var router = RPCRouter()
        router.raw(TestService.raw) { _ in
            { event in if case .closed(let error) = event { serverClosed.send(error) } }
        }
        try await withClient(router) { client in
            let closed = Signal<RPCError?>()
            let stream = try await client.rawStream(TestService.raw) { event in
                if case .closed(let error) = event { closed.send(error) }
            }
            stream.cancel()
            #expect(try await closed.next()?.code == .cancelled)
            #expect(try await serverClosed.next()?.code == .cancelled)
            #expect(throws: RPCError.self) { try stream.send(message: ByteBuffer()) }
        }
    }

    @Test("a lost connection cancels handlers and fails calls with UNAVAILABLE")
    func connectionLost() async throws {
        let started = Signal<Void>()
        let cancelled = Signal<Void>()
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in
            started.send()
            try await Self.waitForCancellation(cancelled)
            return request
        }
        try await withServer(router) { _, port in
            let peer = try await PlainPeer.connect(port: port)
            try await peer.handshake()
            peer.send(
                .open(
                    stream: 1, Frame.Open(method: TestService.echo.fullName), Frame.Payload(message: ByteBuffer()),
                    endStream: true))
            try await started.next()
            await peer.close()
            try await cancelled.next()
        }
    }
}
