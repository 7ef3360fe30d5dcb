import Foundation
import ServiceLifecycle
import ServiceSupport
import Testing
import Wire

struct ListeningTests {
    private func process(_ arguments: [String]) throws -> ServiceProcess {
        ServiceProcess(
            try ServiceConfiguration(
                service: "test", options: .parsing(["--log-level", "critical"] + arguments), environment: [:]))
    }

    /// The error with which a process ends that shall listen there.
    private func failure(_ arguments: [String]) async throws -> String {
        let process = try process(arguments)
        let server = process.makeWireServer(RPCRouter())
        do {
            try await process.run([server, process.listening(server)])
            return "(no error)"
        } catch {
            return "\(error)"
        }
    }

    @Test("a port in use is named with its address and the setting that holds it")
    func portInUse() async throws {
        let first = try process(["--port", "0"])
        let server = first.makeWireServer(RPCRouter())
        let run = Task { try await first.run([server, first.listening(server)]) }
        let address = try await server.boundAddress()
        #expect(
            try await failure(["--port", "\(address.port)"])
                == "--port: 127.0.0.1:\(address.port) is in use by another process")
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).yaml")
        try Data("port: \(address.port)\n".utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        #expect(
            try await failure(["--config", file.path])
                == "\(file.path): port: 127.0.0.1:\(address.port) is in use by another process")
        run.cancel()
        _ = try? await run.value
    }

    @Test("an address that is not this machine's, and a host that nobody knows, are the host's fault")
    func foreignHost() async throws {
        #expect(try await failure(["--host", "192.0.2.7", "--port", "0"]).hasPrefix("--host: 192.0.2.7:0"))
        #expect(try await failure(["--host", "nowhere.invalid", "--port", "0"]).hasPrefix("--host: nowhere.invalid:0"))
    }

    @Test("the ready file says when the process has served, whichever comes first")
    func served() throws {
        for servesFirst in [false, true] {
            let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).json")
            defer { try? FileManager.default.removeItem(at: file) }
            let process = try process(["--ready-file", file.path])
            func text() throws -> String { try String(contentsOf: file, encoding: .utf8) }
            if servesFirst { process.health.set(serving: true) }
            try process.announceListening(host: "127.0.0.1", port: 7, extra: ["http_port": 8])
            if !servesFirst {
                #expect(try !text().contains("served"))
                process.health.set(serving: false, reason: "not yet")
                #expect(try !text().contains("served"))
                process.health.set(serving: true)
            }
            #expect(try text().contains("\"served\":true"))
            #expect(try text().contains("\"http_port\":8"))
            // It is about the past: what comes later changes nothing.
            process.health.set(serving: false, reason: "again not")
            #expect(try text().contains("\"served\":true"))
            #expect(process.health.hasServed)
        }
    }
}
