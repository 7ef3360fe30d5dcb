import Foundation
import GatewayServer
import Identity
import Logging
import NIOCore
import ServiceLifecycle
import ServiceSupport
import Testing
import Wire
import WireProtocols

/// A gateway on a loopback port between a test and fakes of its two upstreams.
struct GatewayFixture: Sendable {
    let port: Int
    let head: FakeHead
    let store: FakeStore
    let logs: LogRecorder
    let metrics: MetricsRegistry
    /// A key of tenant "acme".
    let key: String
    /// A key of tenant "rival".
    let rivalKey: String
    let directory: String

    var keysPath: String { directory + "/keys.json" }

    /// An answer, read to its end.
    struct Reply: Sendable {
        var status: Int
        var headers: [String: String]
        var body: [UInt8]

        var text: String { String(decoding: body, as: UTF8.self) }

        /// The body as JSON.
        var json: JSONValue {
            get throws { try JSONParser.parse(body) }
        }

        /// The `data:` lines of a stream.
        var events: [String] {
            text.components(separatedBy: "\n\n").filter { !$0.isEmpty }.map {
                $0.hasPrefix("data: ") ? String($0.dropFirst(6)) : "MALFORMED: \($0)"
            }
        }

        /// The chunks of a stream, without its end.
        var chunks: [JSONValue] {
            get throws { try events.filter { $0 != "[DONE]" }.map { try JSONParser.parse($0) } }
        }
    }

    func get(_ path: String, key: String? = nil, headers: [String: String] = [:]) async throws -> Reply {
        try await send("GET", path, key: key, headers: headers, body: [])
    }

    func delete(_ path: String, key: String? = nil) async throws -> Reply {
        try await send("DELETE", path, key: key, body: [])
    }

    func post(
        _ path: String, _ body: JSONValue, key: String? = nil, headers: [String: String] = [:]
    ) async throws -> Reply {
        try await send("POST", path, key: key, headers: headers, body: Array(body.text.utf8))
    }

    func send(
        _ method: String, _ path: String, key: String? = nil, headers: [String: String] = [:], body: [UInt8]
    ) async throws -> Reply {
        let socket = try await TestSocket(port: port)
        try await socket.send(head(method, path, key: key, headers: headers, length: body.count))
        try await socket.send(body)
        return try Self.parse(try await socket.receiveAll())
    }

    /// The head of a request that asks for the connection to be closed.
    func head(
        _ method: String, _ path: String, key: String? = nil, headers: [String: String] = [:], length: Int
    ) -> String {
        var lines = ["\(method) \(path) HTTP/1.1", "Host: localhost", "Connection: close"]
        if key != "" { lines.append("Authorization: Bearer \(key ?? self.key)") }
        if length > 0 { lines.append("Content-Length: \(length)") }
        lines += headers.map { "\($0.key): \($0.value)" }
        return lines.joined(separator: "\r\n") + "\r\n\r\n"
    }

    static func parse(_ bytes: [UInt8]) throws -> Reply {
        let data = Data(bytes)
        guard let split = data.range(of: Data("\r\n\r\n".utf8)) else {
            throw TestSocket.Failure(what: "no head in \(bytes.count) bytes")
        }
        let lines = String(decoding: data[..<split.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let pair = line.split(separator: ":", maxSplits: 1)
            headers[pair[0].lowercased()] = pair[1].trimmingCharacters(in: .whitespaces)
        }
        let status = Int(lines[0].split(separator: " ")[1]) ?? 0
        var body = Array(data[split.upperBound...])
        if headers["transfer-encoding"] == "chunked" { body = try dechunk(body) }
        return Reply(status: status, headers: headers, body: body)
    }

    /// Fails when the chunked encoding does not end as it must.
    private static func dechunk(_ bytes: [UInt8]) throws -> [UInt8] {
        var result: [UInt8] = []
        var index = 0
        while let end = bytes[index...].firstIndex(of: 0x0D) {
            let size = Int(String(decoding: bytes[index..<end], as: UTF8.self), radix: 16)
            guard let size, end + 2 + size + 2 <= bytes.count else { break }
            if size == 0 { return result }
            result += bytes[(end + 2)..<(end + 2 + size)]
            index = end + 2 + size + 2
        }
        throw TestSocket.Failure(what: "the chunked body does not end")
    }
}

/// Runs `body` with a gateway that is ready; one under TLS cannot be asked and is only listening.
func withGateway(
    script: @escaping FakeHead.Script = FakeHead.words(["Hello", " world", "."]),
    configure: (inout GatewayConfiguration) -> Void = { _ in },
    _ body: @Sendable @escaping (GatewayFixture) async throws -> Void
) async throws {
    let directory = NSTemporaryDirectory() + "/gateway-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let keysPath = directory + "/keys.json"
    let (key, rivalKey) = try KeyFile.update(path: keysPath) {
        (try $0.add(tenant: "acme").plainText, try $0.add(tenant: "rival").plainText)
    }
    var configuration = GatewayConfiguration(keyFilePath: keysPath, stateDirectory: directory + "/state")
    configuration.pollInterval = .milliseconds(20)
    configuration.pollTimeout = .seconds(5)
    configure(&configuration)

    let logs = LogRecorder()
    let head = FakeHead(script: script)
    let store = FakeStore()
    var router = RPCRouter()
    head.add(to: &router)
    store.add(to: &router)
    let upstream = WireServer(router: router, logger: logs.logger)
    let upstreamGroup = ServiceGroup(services: [upstream], logger: logs.logger)
    let metrics = MetricsRegistry()
    try await withThrowingTaskGroup(of: Void.self) { [configuration] group in
        group.addTask { try await upstreamGroup.run() }
        let address = try await upstream.boundAddress()
        let target = WireTarget.address(host: address.host, port: address.port)
        let gateway = try Gateway(
            configuration,
            Gateway.Dependencies(
                inference: WireClient(target: target, logger: logs.logger),
                store: WireClient(target: target, logger: logs.logger), metrics: metrics, health: HealthState(),
                logger: logs.logger))
        let (ports, continuation) = AsyncStream<Int>.makeStream()
        let services = try gateway.services { continuation.yield($0) }
        let gatewayGroup = ServiceGroup(services: services, logger: logs.logger)
        group.addTask {
            defer { continuation.finish() }
            try await gatewayGroup.run()
        }
        var iterator = ports.makeAsyncIterator()
        guard let port = await iterator.next() else { throw TestSocket.Failure(what: "the gateway did not start") }
        let fixture = GatewayFixture(
            port: port, head: head, store: store, logs: logs, metrics: metrics, key: key, rivalKey: rivalKey,
            directory: directory)
        let result: Result<Void, any Error>
        do {
            if configuration.tls == nil {
                try await eventually("the gateway is ready") { try await fixture.get("/readyz").status == 200 }
            }
            result = .success(try await body(fixture))
        } catch {
            result = .failure(error)
        }
        await gatewayGroup.triggerGracefulShutdown()
        await upstreamGroup.triggerGracefulShutdown()
        group.cancelAll()
        while true {
            do {
                guard try await group.next() != nil else { break }
            } catch is CancellationError {
                continue
            }
        }
        try result.get()
    }
}

/// Asks until the answer is yes, and fails when it has not been for 20 seconds.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(20)
    while ContinuousClock.now < deadline {
        if try await condition() { return }
        await Task.yield()
    }
    throw TestSocket.Failure(what: "never: \(what)")
}
