import NIOCore
import NIOPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The twin the wire is measured against: two threads, blocking TCP sockets on loopback, a four-byte length prefix.
struct BlockingPingPong: Sendable {
    private let payloadBytes: Int
    private let client: CInt
    private let server: CInt
    private let threads: NIOThreadPool
    private let cores: (Int, Int)?

    /// Connects a pair of sockets whose ends run on `cores`, or where the scheduler puts them.
    ///
    /// - Throws: `RPCError` UNAVAILABLE when the system refuses one.
    init(payloadBytes: Int, cores: (Int, Int)?) throws(RPCError) {
        self.cores = cores
        self.payloadBytes = payloadBytes
        (client, server) = try Self.connectedPair()
        threads = NIOThreadPool(numberOfThreads: 2)
        threads.start()
    }

    func close() {
        _ = shutdown(client, CInt(SHUT_RDWR))
        _ = systemClose(client)
        _ = systemClose(server)
        threads.shutdownGracefully { _ in }
    }

    /// Plays `rounds` and returns each round trip in nanoseconds.
    ///
    /// - Throws: `RPCError` UNAVAILABLE when a socket fails.
    func run(rounds: Int) async throws -> [UInt64] {
        async let echoed: Void = threads.runIfActive { try self.echo(rounds: rounds) }
        let times = try await threads.runIfActive { try self.play(rounds: rounds) }
        try await echoed
        return times
    }

    private func play(rounds: Int) throws(RPCError) -> [UInt64] {
        CoreAffinity.pinCurrentThread(to: cores?.0)
        var frame = [UInt8](repeating: 7, count: 4 + payloadBytes)
        var times: [UInt64] = []
        times.reserveCapacity(rounds)
        setLength(&frame)
        for _ in 0..<rounds {
            let start = NIODeadline.now()
            try Self.writeAll(client, frame, count: frame.count)
            try receiveFrame(client, into: &frame)
            times.append(UInt64((NIODeadline.now() - start).nanoseconds))
        }
        return times
    }

    private func echo(rounds: Int) throws(RPCError) {
        CoreAffinity.pinCurrentThread(to: cores?.1)
        var frame = [UInt8](repeating: 0, count: 4 + payloadBytes)
        for _ in 0..<rounds {
            try receiveFrame(server, into: &frame)
            try Self.writeAll(server, frame, count: frame.count)
        }
    }

    private func setLength(_ frame: inout [UInt8]) {
        for index in 0..<4 { frame[index] = UInt8(truncatingIfNeeded: payloadBytes >> (8 * (3 - index))) }
    }

    /// Reads until the frame is whole, as much at a time as there is.
    private func receiveFrame(_ socket: CInt, into frame: inout [UInt8]) throws(RPCError) {
        var received = 0
        while received < frame.count {
            let offset = received
            let count = frame.withUnsafeMutableBytes { bytes in
                read(socket, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
            }
            guard count > 0 else { throw RPCError(.unavailable, "a benchmark socket was closed") }
            received += count
        }
        let length = frame[..<4].reduce(0) { $0 << 8 | Int($1) }
        guard length == payloadBytes else {
            throw RPCError(.dataLoss, "a benchmark frame of \(length) bytes, expected \(payloadBytes)")
        }
    }

    private static func writeAll(_ socket: CInt, _ bytes: [UInt8], count: Int) throws(RPCError) {
        var written = 0
        while written < count {
            let offset = written
            let result = bytes.withUnsafeBytes { write(socket, $0.baseAddress?.advanced(by: offset), count - offset) }
            guard result > 0 else { throw RPCError(.unavailable, "a benchmark socket was closed") }
            written += result
        }
    }

    private static func connectedPair() throws(RPCError) -> (client: CInt, server: CInt) {
        #if canImport(Glibc)
        let stream = CInt(SOCK_STREAM.rawValue)
        #else
        let stream = SOCK_STREAM
        #endif
        let listener = socket(AF_INET, stream, 0)
        let client = socket(AF_INET, stream, 0)
        guard listener >= 0, client >= 0 else { throw RPCError(.unavailable, "no socket: errno \(errno)") }
        defer { _ = systemClose(listener) }
        // The listener's address comes back as bytes and goes into connect as it is.
        var bound = [UInt8](repeating: 0, count: 128)
        var length = socklen_t(bound.count)
        let isListening = try? SocketAddress(ipAddress: "127.0.0.1", port: 0).withSockAddr { address, size in
            bind(listener, address, socklen_t(size)) == 0 && listen(listener, 1) == 0
        }
        let connected = bound.withUnsafeMutableBytes { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) { address in
                isListening == true && getsockname(listener, address.baseAddress, &length) == 0
                    && connect(client, address.baseAddress, length) == 0
            }
        }
        guard connected else {
            _ = systemClose(client)
            throw RPCError(.unavailable, "no loopback connection: errno \(errno)")
        }
        let server = accept(listener, nil, nil)
        guard server >= 0 else { throw RPCError(.unavailable, "no loopback connection: errno \(errno)") }
        for socket in [client, server] {
            var on: CInt = 1
            setsockopt(socket, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
        }
        return (client, server)
    }
}

/// `close(2)`, whose name a method of the same name would hide.
private func systemClose(_ descriptor: CInt) -> CInt {
    close(descriptor)
}
