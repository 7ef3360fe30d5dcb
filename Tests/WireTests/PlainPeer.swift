import NIOCore
import NIOPosix
import Wire

/// A peer that speaks bytes and frames by hand, to be as wrong as a test wants it to be.
struct PlainPeer: Sendable {
    private let channel: any Channel
    private let frames: AsyncStream<Frame>

    /// Connects to a server on loopback.
    ///
    /// - Parameter autoRead: false: whatever the server sends stays in the socket.
    static func connect(port: Int, autoRead: Bool = true) async throws -> PlainPeer {
        let (frames, continuation) = AsyncStream.makeStream(of: Frame.self)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: autoRead)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(FrameCollector(continuation))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return PlainPeer(channel: channel, frames: frames)
    }

    /// Exchanges HELLO.
    func handshake(
        _ hello: Frame.Hello = .init(
            initialCredits: 1 << 20, maxFrameBytes: 1 << 20, maxStreams: 100, peer: "plain")
    ) async throws {
        send(.hello(hello))
        guard case .hello = try await next() else { throw RPCError(.internalError, "no HELLO") }
    }

    func send(_ frame: Frame) {
        send(FrameEncoder.encodeContiguous(frame))
    }

    func send(_ bytes: ByteBuffer) {
        channel.writeAndFlush(bytes, promise: nil)
    }

    /// Bytes, and a wait until the kernel has them or the connection is gone.
    func sendAndWait(_ bytes: ByteBuffer) async throws {
        try await channel.writeAndFlush(bytes).get()
    }

    /// The next frame of the server; nil when it has closed.
    func next() async throws -> Frame? {
        var iterator = frames.makeAsyncIterator()
        return await iterator.next()
    }

    func close() async {
        try? await channel.close().get()
    }
}

private final class FrameCollector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private var assembler = FrameAssembler()
    private let continuation: AsyncStream<Frame>.Continuation

    init(_ continuation: AsyncStream<Frame>.Continuation) {
        self.continuation = continuation
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        assembler.append(unwrapInboundIn(data), allocator: context.channel.allocator)
        do {
            while let frame = try assembler.next(limit: 64 << 20) {
                continuation.yield(try FrameDecoder.decode(frame))
            }
        } catch {
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        continuation.finish()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

/// Runs a server on a free port that answers each frame with the frames `answer` returns, while `body` runs.
func withPlainServer<Result: Sendable>(
    _ answer: @escaping @Sendable (Frame) -> [Frame], _ body: (Int) async throws -> Result
) async throws -> Result {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(FrameAnswerer(answer))
            }
        }
        .bind(host: "127.0.0.1", port: 0).get()
    do {
        let result = try await body(channel.localAddress?.port ?? 0)
        try await channel.close().get()
        return result
    } catch {
        try? await channel.close().get()
        throw error
    }
}

private final class FrameAnswerer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var assembler = FrameAssembler()
    private let answer: @Sendable (Frame) -> [Frame]

    init(_ answer: @escaping @Sendable (Frame) -> [Frame]) {
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        assembler.append(unwrapInboundIn(data), allocator: context.channel.allocator)
        do {
            while let body = try assembler.next(limit: 64 << 20) {
                for frame in answer(try FrameDecoder.decode(body)) {
                    context.writeAndFlush(wrapOutboundOut(FrameEncoder.encodeContiguous(frame)), promise: nil)
                }
            }
        } catch {
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
