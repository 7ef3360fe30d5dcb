import Foundation
import GatewayServer
import Testing
import Wire
import WireProtocols

struct CancellationTests {
    private static func body(stream: Bool, n: Int = 1) -> JSONValue {
        [
            "model": "tiny-instruct", "messages": [["role": "user", "content": "Hi"]], "stream": .bool(stream),
            "n": .integer(n),
        ]
    }

    private func start(_ gateway: GatewayFixture, _ body: JSONValue, id: String) async throws -> TestSocket {
        let bytes = Array(body.text.utf8)
        let socket = try await TestSocket(port: gateway.port)
        try await socket.send(
            gateway.head(
                "POST", "/v1/chat/completions", headers: ["X-Request-ID": id], length: bytes.count))
        try await socket.send(bytes)
        return socket
    }

    /// The request ids of cancelled calls, as many as asked for.
    private func cancellations(_ gateway: GatewayFixture, _ count: Int) async -> [String] {
        var ids: [String] = []
        var iterator = gateway.head.cancellations.makeAsyncIterator()
        while ids.count < count, let id = await iterator.next() { ids.append(id) }
        return ids
    }

    @Test("a client that hangs up in a stream cancels every choice's call", .timeLimit(.minutes(1)))
    func stream() async throws {
        try await withGateway(script: FakeHead.hangs) { gateway in
            let socket = try await start(gateway, Self.body(stream: true, n: 3), id: "gone")
            _ = try await socket.receive(until: "Hel")
            socket.hangUp()
            #expect(await cancellations(gateway, 3) == ["gone", "gone", "gone"])
        }
    }

    @Test(
        "a client that hangs up before the first byte cancels the call", .timeLimit(.minutes(1)),
        arguments: [true, false])
    func prefill(_ streams: Bool) async throws {
        try await withGateway(script: FakeHead.hangsSilently) { gateway in
            let socket = try await start(gateway, Self.body(stream: streams), id: "gone")
            try await eventually("the call arrived") { gateway.head.seen.requests.count == 1 }
            socket.hangUp()
            #expect(await cancellations(gateway, 1) == ["gone"])
        }
    }

    @Test("a client that waits for a whole answer and leaves cancels the call", .timeLimit(.minutes(1)))
    func whole() async throws {
        try await withGateway(script: FakeHead.hangs) { gateway in
            let socket = try await start(gateway, Self.body(stream: false), id: "gone")
            try await eventually("the call arrived") { gateway.head.seen.requests.count == 1 }
            socket.hangUp()
            #expect(await cancellations(gateway, 1) == ["gone"])
        }
    }

    @Test("a failed choice cancels the others of its request", .timeLimit(.minutes(1)))
    func sibling() async throws {
        let script: FakeHead.Script = { request, writer in
            if request.sampling.seed == 5 { throw RPCErrorCase.unavailable.error }
            try await FakeHead.hangs(request, writer)
        }
        try await withGateway(script: script) { gateway in
            let reply = try await gateway.post(
                "/v1/completions",
                ["model": "tiny-instruct", "prompt": "x", "n": 3, "seed": 4],
                headers: ["X-Request-ID": "three"])
            #expect(reply.status == 503)
            #expect(await cancellations(gateway, 2) == ["three", "three"])
        }
    }

    @Test("a connection serves another request after a whole answer and after a stream")
    func keepAlive() async throws {
        try await withGateway { gateway in
            let socket = try await TestSocket(port: gateway.port)
            for streams in [false, true, false] {
                let body = Self.body(stream: streams).text
                try await socket.send(
                    """
                    POST /v1/chat/completions HTTP/1.1\r
                    Host: localhost\r
                    Authorization: Bearer \(gateway.key)\r
                    Content-Length: \(body.utf8.count)\r
                    \r
                    \(body)
                    """)
                let reply = try await socket.receive(until: streams ? "0\r\n\r\n" : "cached_tokens\":1}}}")
                #expect(reply.hasPrefix("HTTP/1.1 200"))
            }
        }
    }

    @Test("the request deadline reaches the head")
    func deadline() async throws {
        try await withGateway(configure: { $0.requestDeadline = .seconds(90) }) { gateway in
            let before = ContinuousClock.now
            _ = try await gateway.post("/v1/chat/completions", Self.body(stream: false))
            let deadline = try #require(gateway.head.seen.deadlines.first ?? nil)
            #expect(deadline <= ContinuousClock.now + .seconds(90))
            #expect(deadline > before + .seconds(30))
        }
    }

    @Test("requests above the limit are refused with 429 and Retry-After, and admitted again afterwards")
    func limit() async throws {
        try await withGateway(script: FakeHead.hangs, configure: { $0.maximumConcurrentRequests = 2 }) { gateway in
            let first = try await start(gateway, Self.body(stream: true), id: "a")
            let second = try await start(gateway, Self.body(stream: true), id: "b")
            _ = try await first.receive(until: "Hel")
            _ = try await second.receive(until: "Hel")
            let refused = try await gateway.get("/v1/models")
            #expect(refused.status == 429)
            #expect(refused.headers["retry-after"] == "1")
            #expect(try await gateway.get("/livez").status == 200)
            first.hangUp()
            try await eventually("there is room again") { try await gateway.get("/v1/models").status == 200 }
        }
    }
}
