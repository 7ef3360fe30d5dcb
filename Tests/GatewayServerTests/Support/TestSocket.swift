import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A blocking TCP connection for tests that care about bytes. Every call runs on a thread of its own, because the
/// gateway under test shares the cooperative pool with the test.
final class TestSocket: Sendable {
    struct Failure: Error {
        var what: String
    }

    private let descriptor: CInt

    /// Connects to loopback; reading gives up after `timeout` seconds.
    init(port: Int, timeout: Int = 20) async throws {
        descriptor = try await Self.offPool {
            #if os(Linux)
            let stream = CInt(SOCK_STREAM.rawValue)
            #else
            let stream = SOCK_STREAM
            #endif
            let descriptor = socket(AF_INET, stream, 0)
            guard descriptor >= 0 else { throw Failure(what: "socket") }
            var limit = timeval()
            limit.tv_sec = timeout
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            let result = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard result == 0 else { throw Failure(what: "connect") }
            return descriptor
        }
    }

    deinit {
        close(descriptor)
    }

    /// Sends everything, or stops quietly when the peer has closed.
    func send(_ bytes: [UInt8]) async throws {
        let descriptor = descriptor
        try await Self.offPool {
            var sent = 0
            while sent < bytes.count {
                let count = bytes[sent...].withUnsafeBytes {
                    Foundation.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
                }
                guard count > 0 else { return }
                sent += count
            }
        }
    }

    func send(_ text: String) async throws {
        try await send(Array(text.utf8))
    }

    /// The next bytes; empty at the end.
    func receive() async throws -> [UInt8] {
        let descriptor = descriptor
        return try await Self.offPool {
            var buffer = [UInt8](repeating: 0, count: 64 * 1024)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count >= 0 else {
                if errno == ECONNRESET { return [] }
                throw Failure(what: "receive: \(String(cString: strerror(errno)))")
            }
            return Array(buffer.prefix(count))
        }
    }

    func receiveAll() async throws -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let bytes = try await receive()
            if bytes.isEmpty { return all }
            all += bytes
        }
    }

    /// Reads until what came contains `text`.
    func receive(until text: String) async throws -> String {
        var all: [UInt8] = []
        while true {
            let soFar = String(decoding: all, as: UTF8.self)
            if soFar.contains(text) { return soFar }
            let bytes = try await receive()
            guard !bytes.isEmpty else { throw Failure(what: "the connection ended before the expected text") }
            all += bytes
        }
    }

    /// Says that no more will be sent.
    func shutdownWriting() {
        shutdown(descriptor, CInt(SHUT_WR))
    }

    /// Closes both ways at once.
    func hangUp() {
        shutdown(descriptor, CInt(SHUT_RDWR))
    }

    private static func offPool<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
        }
    }
}
