import Foundation
import NIOCore
import SwiftProtobuf
import Testing
import Wire

/// Certificates of a throw-away authority, made by the openssl tool.
private struct TestAuthority {
    let directory: String

    init() throws {
        directory = NSTemporaryDirectory() + "fathom-wire-tls-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        for (name, subject) in [("ca", "Test CA"), ("other-ca", "Other CA")] {
            try openssl([
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=\(subject)", "-keyout", path("\(name).key"), "-out", path("\(name).pem"),
            ])
        }
        try issue("server", by: "ca", names: "DNS:localhost,DNS:fathom.internal,IP:127.0.0.1")
        try issue("named", by: "ca", names: "DNS:fathom.internal")
        try issue("client", by: "ca", names: "DNS:client.internal")
        try issue("stranger", by: "other-ca", names: "DNS:stranger.internal")
    }

    func path(_ name: String) -> String { directory + "/" + name }

    func remove() {
        try? FileManager.default.removeItem(atPath: directory)
    }

    func configuration(
        _ name: String?, roots: String = "ca", requireClient: Bool = false, serverName: String? = nil
    ) -> WireTLSConfiguration {
        WireTLSConfiguration(
            certificateChainPath: name.map { path("\($0).pem") }, privateKeyPath: name.map { path("\($0).key") },
            trustRootsPath: path("\(roots).pem"), requireClientCertificate: requireClient, serverName: serverName)
    }

    private func issue(_ name: String, by authority: String, names: String) throws {
        try Data("subjectAltName=\(names)\n".utf8).write(to: URL(fileURLWithPath: path("\(name).ext")))
        try openssl([
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=\(name)",
            "-keyout", path("\(name).key"), "-out", path("\(name).csr"),
        ])
        try openssl([
            "x509", "-req", "-in", path("\(name).csr"), "-CA", path("\(authority).pem"), "-CAkey",
            path("\(authority).key"), "-CAcreateserial", "-days", "2", "-extfile", path("\(name).ext"), "-out",
            path("\(name).pem"),
        ])
    }

    private func openssl(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw RPCError(.internalError, "openssl \(arguments[0]) failed: is the openssl tool installed?")
        }
    }
}

@Suite(.timeLimit(.minutes(2)))
struct TLSTests {
    private static func router() -> RPCRouter {
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in request }
        return router
    }

    /// What an echo call over these two configurations ends with; nil when it succeeds.
    private static func outcome(
        server: WireTLSConfiguration?, client: WireTLSConfiguration?
    ) async throws -> RPCError? {
        try await withClient(
            router(), server: WireServerConfiguration(tls: server),
            client: WireClientConfiguration(tls: client, connectTimeout: .seconds(10))
        ) { client in
            do {
                let response = try await client.unary(
                    TestService.echo, text("secret"), options: CallOptions(waitForReady: false))
                #expect(response.value == "secret")
                return nil
            } catch let error as RPCError {
                return error
            }
        }
    }

    @Test("calls work over TLS, with and without client certificates, and wrong peers are refused")
    func matrix() async throws {
        let authority = try TestAuthority()
        defer { authority.remove() }
        let server = authority.configuration("server")
        let mutual = authority.configuration("server", requireClient: true)

        #expect(try await Self.outcome(server: server, client: authority.configuration(nil)) == nil)
        #expect(
            try await Self.outcome(server: server, client: authority.configuration(nil, serverName: "fathom.internal"))
                == nil)
        #expect(try await Self.outcome(server: mutual, client: authority.configuration("client")) == nil)

        let wrongRoots = authority.configuration(nil, roots: "other-ca")
        try await expectRefused(server: server, client: wrongRoots)
        let named = authority.configuration("named")
        try await expectRefused(server: named, client: authority.configuration(nil, serverName: "other.internal"))
        try await expectRefused(server: named, client: authority.configuration(nil))
        let noCertificate = authority.configuration(nil)
        try await expectRefused(server: mutual, client: noCertificate)
        let stranger = authority.configuration("stranger")
        try await expectRefused(server: mutual, client: stranger)
        try await expectRefused(server: server, client: nil)
        try await expectRefused(server: nil, client: authority.configuration(nil))
    }

    private func expectRefused(
        server: WireTLSConfiguration?, client: WireTLSConfiguration?, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let error = try await Self.outcome(server: server, client: client)
        #expect(error?.code == .unavailable, "got \(error?.description ?? "success")", sourceLocation: sourceLocation)
    }

    @Test("large attachments pass through TLS")
    func largeAttachment() async throws {
        let authority = try TestAuthority()
        defer { authority.remove() }
        var router = RPCRouter()
        router.unaryWithAttachments(TestService.echo) { request, _ in request }
        try await withClient(
            router, server: WireServerConfiguration(tls: authority.configuration("server")),
            client: WireClientConfiguration(tls: authority.configuration(nil))
        ) { client in
            let response = try await client.unaryWithAttachments(
                TestService.echo, RPCMessage(message: text("x"), attachment: .init(repeating: 5, count: 2 << 20)))
            #expect(response.attachment?.readableBytes == 2 << 20)
        }
    }

    @Test("unusable TLS files are named in the error")
    func badFiles() async throws {
        let missing = WireTLSConfiguration(
            certificateChainPath: "/nonexistent/cert.pem", privateKeyPath: "/nonexistent/key.pem")
        let server = WireServer(
            configuration: WireServerConfiguration(tls: missing), router: RPCRouter(), logger: quietLogger)
        let error = await rpcError { try await server.run() }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("/nonexistent/cert.pem") == true)
        let client = WireClient(
            target: .address(host: "127.0.0.1", port: 1), configuration: WireClientConfiguration(tls: missing),
            logger: quietLogger)
        let clientError = await rpcError { _ = try await client.unary(TestService.echo, text("")) }
        #expect(clientError?.code == .invalidArgument)
        await client.close()
    }
}
