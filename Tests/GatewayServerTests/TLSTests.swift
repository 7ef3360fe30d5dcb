import Foundation
import GatewayServer
import Testing
import Wire

/// The public port under TLS, asked by OpenSSL's own client.
struct TLSTests {
    private static func run(_ arguments: [String], input: [UInt8] = []) async throws -> [UInt8] {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    with: Result {
                        let process = Process()
                        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
                        process.arguments = ["openssl"] + arguments
                        let (inputPipe, outputPipe) = (Pipe(), Pipe())
                        process.standardInput = inputPipe
                        process.standardOutput = outputPipe
                        process.standardError = FileHandle.nullDevice
                        try process.run()
                        try inputPipe.fileHandleForWriting.write(contentsOf: Data(input))
                        let output = outputPipe.fileHandleForReading.readDataToEndOfFile()
                        process.waitUntilExit()
                        return Array(output)
                    })
            }
        }
    }

    private static func withTLS(_ body: @Sendable @escaping (GatewayFixture) async throws -> Void) async throws {
        let directory = NSTemporaryDirectory() + "/gateway-tls-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        _ = try await run([
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-keyout", directory + "/key.pem", "-out", directory + "/certificate.pem",
        ])
        try await withGateway(configure: { configuration in
            var tls = WireTLSConfiguration()
            tls.certificateChainPath = directory + "/certificate.pem"
            tls.privateKeyPath = directory + "/key.pem"
            configuration.tls = tls
            configuration.idleTimeout = .milliseconds(500)
            configuration.http.headerTimeout = .milliseconds(700)
            configuration.http.goodbyeTimeout = .milliseconds(500)
        }) { try await body($0) }
    }

    private static func client(_ gateway: GatewayFixture, alpn: String) -> [String] {
        ["s_client", "-connect", "127.0.0.1:\(gateway.port)", "-quiet", "-alpn", alpn]
    }

    @Test("HTTP/1.1 and HTTP/2 are served as agreed on", .timeLimit(.minutes(1)))
    func protocols() async throws {
        try await Self.withTLS { gateway in
            let request = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            for alpn in ["http/1.1", "unknown"] {
                let answer = try await Self.run(
                    Self.client(gateway, alpn: alpn), input: Array(request.utf8))
                let reply = try GatewayFixture.parse(answer)
                #expect(reply.status == 200)
                #expect(reply.text.contains("alive"))
            }
            let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
            let frames = try await Self.run(
                Self.client(gateway, alpn: "h2"), input: preface)
            // The server's side begins with SETTINGS.
            #expect(frames.count > 9 && frames[3] == 4)
        }
    }

    @Test("a handshake that never begins, or stops, ends in time", .timeLimit(.minutes(1)))
    func handshake() async throws {
        try await Self.withTLS { gateway in
            let silent = try await RawConnection(port: gateway.port)
            #expect(try await silent.rest() == [])
            let half = try await RawConnection(port: gateway.port)
            // The head of a record of a ClientHello, and not what it announces.
            try await half.socket.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
            _ = try await half.rest()
        }
    }
}
