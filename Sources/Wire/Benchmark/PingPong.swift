import Logging
import NIOCore
import NIOPosix
import SwiftProtobuf
import Synchronization

/// Times request and answer of one size on loopback, one at a time: how long a hop takes.
///
/// `fathom bench wire` prints it. The blocking-socket twin runs in the same call, because only their ratio means
/// something on a shared machine.
package enum PingPong {
    /// What carries the bytes.
    package enum Transport: String, Sendable, CaseIterable {
        /// Two threads, `read` and `write`, a length prefix: the least that can be done.
        case blockingSockets = "blocking sockets"
        /// A raw stream: activations between pipeline stages.
        case rawStream = "raw stream"
        /// A unary call with the bytes as attachment.
        case unary = "unary"
    }

    /// Where the two ends of every transport run. It decides the outcome, so a report must name it.
    package enum Placement: String, Sendable, CaseIterable {
        /// Each end on a processor of its own, as two busy processes are (Linux with two or more processors): the hop
        /// includes waking the other processor.
        case ownCores = "own cores"
        /// Where the scheduler puts them; on a busy machine both ends share a processor and hardly wake each other.
        case scheduler
    }

    /// Round-trip times of one transport, in nanoseconds, ascending.
    package struct Latencies: Sendable {
        package let transport: Transport
        package let nanoseconds: [UInt64]

        package init(transport: Transport, nanoseconds: [UInt64]) {
            self.transport = transport
            self.nanoseconds = nanoseconds.sorted()
        }

        /// The latency below which this share (0...1) of the round trips stayed.
        package func percentile(_ share: Double) -> Duration {
            guard let last = nanoseconds.indices.last else { return .zero }
            let index = Int((Double(last) * min(max(share, 0), 1)).rounded())
            return .nanoseconds(Int64(clamping: nanoseconds[index]))
        }
    }

    /// Times `rounds` round trips of `payloadBytes` on each transport, in slices that take turns, so that a change in
    /// the machine's load meets all of them.
    ///
    /// - Parameters:
    ///   - rounds: 1 or more for each transport; a tenth as many more warm it up first.
    ///   - payloadBytes: Bytes each way, 1...1 MiB.
    /// - Throws: `RPCError` when a socket or the server cannot be set up.
    package static func run(
        transports: [Transport] = Transport.allCases, rounds: Int = 20_000, payloadBytes: Int = 4096,
        placement: Placement = .ownCores, logger: Logger
    ) async throws -> [Latencies] {
        precondition(rounds > 0 && (1...1 << 20).contains(payloadBytes), "rounds or payload out of range")
        // One loop for each side, as two processes would have.
        let serverGroup = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let clientGroup = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let cores = placement == .ownCores ? CoreAffinity.twoCores() : nil
        try await clientGroup.any().submit { CoreAffinity.pinCurrentThread(to: cores?.0) }.get()
        try await serverGroup.any().submit { CoreAffinity.pinCurrentThread(to: cores?.1) }.get()
        let server = WireServer(router: makeRouter(), eventLoopGroup: serverGroup, logger: logger)
        let result = try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await server.run() }
            let port = try await server.boundAddress().port
            let client = WireClient(
                target: .address(host: "127.0.0.1", port: port), eventLoopGroup: clientGroup, logger: logger)
            let result = try await measure(transports, client, rounds, payloadBytes, cores)
            await client.close()
            tasks.cancelAll()
            return result
        }
        try await serverGroup.shutdownGracefully()
        try await clientGroup.shutdownGracefully()
        return result
    }

    private static let slices = 10

    private static func measure(
        _ transports: [Transport], _ client: WireClient, _ rounds: Int, _ payloadBytes: Int, _ cores: (Int, Int)?
    ) async throws -> [Latencies] {
        let sockets = try BlockingPingPong(payloadBytes: payloadBytes, cores: cores)
        defer { sockets.close() }
        var times: [Transport: [UInt64]] = [:]
        for slice in 0...slices {
            // The first slice warms caches and branch predictors up and does not count.
            let count = max(1, rounds / slices)
            for transport in transports {
                let sample =
                    switch transport {
                    case .blockingSockets: try await sockets.run(rounds: count)
                    case .rawStream: try await runRaw(client, count, payloadBytes)
                    case .unary: try await runUnary(client, count, payloadBytes)
                    }
                if slice > 0 { times[transport, default: []] += sample }
            }
        }
        return transports.map { Latencies(transport: $0, nanoseconds: times[$0] ?? []) }
    }

    private static let unaryMethod = RPCMethod<Google_Protobuf_Empty, Google_Protobuf_Empty>(
        "fathom.wire.v1.Benchmark/Unary", .unary)
    private static let rawMethod = "fathom.wire.v1.Benchmark/Raw"

    private static func makeRouter() -> RPCRouter {
        var router = RPCRouter()
        router.unaryWithAttachments(unaryMethod) { request, _ in request }
        router.raw(rawMethod) { stream in
            { event in
                switch event {
                case .message(let message, let attachment):
                    do throws(RPCError) {
                        try stream.send(message: message, attachment: attachment)
                    } catch {
                        stream.cancel(error)
                    }
                case .halfClosed: stream.finish()
                case .closed: break
                }
            }
        }
        return router
    }

    private static func runUnary(_ client: WireClient, _ rounds: Int, _ payloadBytes: Int) async throws -> [UInt64] {
        let payload = ByteBuffer(repeating: 7, count: payloadBytes)
        var times: [UInt64] = []
        times.reserveCapacity(rounds)
        for _ in 0..<rounds {
            let start = NIODeadline.now()
            let response = try await client.unaryWithAttachments(
                unaryMethod, RPCMessage(message: Google_Protobuf_Empty(), attachment: payload))
            times.append(UInt64((NIODeadline.now() - start).nanoseconds))
            guard response.attachment?.readableBytes == payloadBytes else {
                throw RPCError(.dataLoss, "the echo has another size")
            }
        }
        return times
    }

    private static func runRaw(_ client: WireClient, _ rounds: Int, _ payloadBytes: Int) async throws -> [UInt64] {
        let (ends, continuation) = AsyncStream.makeStream(of: Result<[UInt64], RPCError>.self)
        let player = RawPlayer(rounds: rounds, payloadBytes: payloadBytes) { continuation.yield($0) }
        let stream = try await client.rawStream(rawMethod) { player.received($0) }
        player.serve(stream)
        var iterator = ends.makeAsyncIterator()
        guard let result = await iterator.next() else { throw CancellationError() }
        return try result.get()
    }
}

/// The client's half of a raw ping-pong: sends the next ball from the callback that got the last one.
private final class RawPlayer: Sendable {
    private struct State {
        var stream: RawStream?
        var start = NIODeadline.now()
        var times: [UInt64] = []
    }

    private let rounds: Int
    private let payload: ByteBuffer
    private let end: @Sendable (Result<[UInt64], RPCError>) -> Void
    private let state = Mutex(State())

    init(rounds: Int, payloadBytes: Int, end: @escaping @Sendable (Result<[UInt64], RPCError>) -> Void) {
        self.rounds = rounds
        self.end = end
        payload = ByteBuffer(repeating: 7, count: payloadBytes)
        state.withLock { $0.times.reserveCapacity(rounds) }
    }

    func serve(_ stream: RawStream) {
        state.withLock { state in
            state.stream = stream
            state.start = .now()
        }
        send(stream)
    }

    func received(_ event: RawStreamEvent) {
        switch event {
        case .message:
            let now = NIODeadline.now()
            let stream = state.withLock { state -> RawStream? in
                state.times.append(UInt64((now - state.start).nanoseconds))
                state.start = now
                return state.times.count < rounds ? state.stream : nil
            }
            if let stream { send(stream) } else { finish() }
        case .halfClosed: break
        case .closed(let error): end(.failure(error ?? RPCError(.unavailable, "the stream ended early")))
        }
    }

    private func finish() {
        let (stream, times) = state.withLock { ($0.stream, $0.times) }
        end(.success(times))
        stream?.halfClose()
    }

    private func send(_ stream: RawStream) {
        do throws(RPCError) {
            try stream.send(message: ByteBuffer(), attachment: payload)
        } catch {
            end(.failure(error))
        }
    }
}
