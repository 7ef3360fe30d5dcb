import Foundation
import GatewayServer
import Testing
import Wire

/// Clients that would hold a place of the gateway for ever.
struct SlowClientTests {
    /// Limits of tenths of seconds.
    private static func quick(_ configuration: inout GatewayConfiguration) {
        configuration.http.bodyStallTimeout = .milliseconds(400)
        configuration.http.bodyTimeout = .seconds(30)
        configuration.http.headerTimeout = .milliseconds(400)
        configuration.http.writeTimeout = .milliseconds(400)
    }

    private static func head(_ gateway: GatewayFixture, _ path: String, _ fields: String) -> String {
        "POST \(path) HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key)\r\n\(fields)\r\n\r\n"
    }

    @Test(
        "a body that stops, or drips, is 408 and ends its connection",
        .timeLimit(.minutes(1)),
        arguments: [
            ("/v1/completions", "Content-Length: 1000", ""),
            ("/v1/completions", "Transfer-Encoding: chunked", "1\r\n{\r\n"),
            ("/v1/completions", "Transfer-Encoding: chunked", "100;x="),
            ("/v1/files", "Content-Length: 5000\r\nContent-Type: multipart/form-data; boundary=B", "--B\r\n"),
        ])
    func body(_ path: String, _ fields: String, _ start: String) async throws {
        try await withGateway(configure: Self.quick) { gateway in
            for drips in [false, true] {
                let connection = try await RawConnection(port: gateway.port)
                try await connection.send(Self.head(gateway, path, fields) + start)
                let socket = connection.socket
                let dripping = Task {
                    // One byte now and then, slower than the least rate; far longer than the patience.
                    while drips && !Task.isCancelled {
                        try await socket.send("y")
                        try await Task.sleep(for: .milliseconds(60))
                    }
                }
                defer { dripping.cancel() }
                let response = try await connection.response()
                if start.hasSuffix("\r\n{\r\n") && drips {
                    // "y" is no size of a chunk.
                    #expect(response.status == 400)
                } else {
                    #expect(response.status == 408)
                    #expect(response.errorCode == "request_timeout")
                }
                #expect(response.closes)
                #expect(try await connection.rest() == [])
            }
            #expect(gateway.store.fileCount(tenant: "acme") == 0)
        }
    }

    @Test("a body that keeps the rate may take longer than the patience", .timeLimit(.minutes(1)))
    func steadyBody() async throws {
        try await withGateway(configure: Self.quick) { gateway in
            let body = "{\"model\":\"tiny-instruct\",\"prompt\":\"\(String(repeating: "x ", count: 2_000))\"}"
            let connection = try await RawConnection(port: gateway.port)
            try await connection.send(Self.head(gateway, "/v1/completions", "Content-Length: \(body.utf8.count)"))
            let bytes = Array(body.utf8)
            for start in stride(from: 0, to: bytes.count, by: 200) {
                try await connection.socket.send(Array(bytes[start..<min(start + 200, bytes.count)]))
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(try await connection.response().status == 200)
        }
    }

    @Test("bodies on their way hold no place: others are served past any number of them", .timeLimit(.minutes(1)))
    func places() async throws {
        try await withGateway(configure: { $0.maximumConcurrentRequests = 2 }) { gateway in
            var slow: [RawConnection] = []
            let body = "{\"model\":\"tiny-instruct\",\"prompt\":\"x\"}"
            for index in 0..<12 {
                let connection = try await RawConnection(port: gateway.port)
                let fields =
                    index % 2 == 0
                    ? "Content-Length: \(body.utf8.count)"
                    : "Content-Length: 5000\r\nContent-Type: multipart/form-data; boundary=B"
                let path = index % 2 == 0 ? "/v1/completions" : "/v1/files"
                try await connection.send(Self.head(gateway, path, fields) + (index % 2 == 0 ? "{" : "--B\r\n"))
                slow.append(connection)
            }
            for _ in 0..<3 {
                #expect(try await gateway.post("/v1/completions", ["prompt": "x"]).status == 200)
            }
            // And they are served when they have come.
            try await slow[0].send(String(body.dropFirst()))
            #expect(try await slow[0].response().status == 200)
        }
    }

    @Test("all bodies together are bounded", .timeLimit(.minutes(1)))
    func bodyBudget() async throws {
        try await withGateway(configure: {
            $0.maximumConcurrentRequests = 1
            $0.maximumBodySize = 10_000
        }) { gateway in
            let first = try await RawConnection(port: gateway.port)
            try await first.send(
                Self.head(gateway, "/v1/completions", "Content-Length: 9000") + String(repeating: " ", count: 8_000))
            try await eventually("the rest has no room") {
                let second = try await RawConnection(port: gateway.port)
                try await second.send(
                    Self.head(gateway, "/v1/completions", "Content-Length: 9000") + String(repeating: " ", count: 9_000)
                )
                let response = try await second.response()
                return response.status == 429 && response.headers["retry-after"] == "1"
            }
            try await first.send(String(repeating: " ", count: 1_000))
            #expect(try await first.response().status == 400)
            try await eventually("the room is given back") {
                try await gateway.post("/v1/completions", ["prompt": .string(String(repeating: "x", count: 9_000))])
                    .status == 200
            }
        }
    }

    @Test("a head that does not end is 408; a connection that says nothing is closed", .timeLimit(.minutes(1)))
    func heads() async throws {
        try await withGateway(configure: Self.quick) { gateway in
            let silent = try await RawConnection(port: gateway.port)
            #expect(try await silent.rest() == [])
            for start in ["GET /livez HTTP/1.1\r\nHost: x\r\nX: ", "G"] {
                let connection = try await RawConnection(port: gateway.port)
                try await connection.send(start)
                let socket = connection.socket
                let dripping = Task {
                    while !Task.isCancelled {
                        try await socket.send("E")
                        try await Task.sleep(for: .milliseconds(60))
                    }
                }
                defer { dripping.cancel() }
                let response = try await connection.response()
                #expect(response.status == (start == "G" ? 501 : 408))
                #expect(response.closes)
                #expect(try await connection.rest() == [])
            }
            // A second request on a connection that was served.
            let connection = try await RawConnection(port: gateway.port)
            try await connection.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await connection.response().status == 200)
            try await connection.send("GET /livez HT")
            #expect(try await connection.response().status == 408)
            #expect(try await connection.rest() == [])
        }
    }

    @Test("the preface of HTTP/2 must end as well", .timeLimit(.minutes(1)))
    func preface() async throws {
        try await withGateway(configure: Self.quick) { gateway in
            let connection = try await RawConnection(port: gateway.port)
            try await connection.send("PRI * HTTP/2.0\r\n")
            #expect(try await connection.rest() == [])
        }
    }

    @Test("a client that does not read its answer loses its connection, and the place is free", .timeLimit(.minutes(1)))
    func unread() async throws {
        let piece = String(repeating: "word ", count: 2_000)
        let script: FakeHead.Script = { request, writer in
            try await writer.write(FakeHead.started(request))
            while true { try await writer.write(FakeHead.delta(piece, token: 1, request)) }
        }
        try await withGateway(
            script: script,
            configure: {
                Self.quick(&$0)
                $0.maximumConcurrentRequests = 1
            }
        ) { gateway in
            let connection = try await RawConnection(port: gateway.port)
            let body = "{\"model\":\"tiny-instruct\",\"prompt\":\"x\",\"stream\":true}"
            try await connection.send(
                Self.head(gateway, "/v1/completions", "Content-Length: \(body.utf8.count)") + body)
            try await eventually("the stream has begun") { gateway.head.seen.requests.count == 1 }
            gateway.head.setScript(FakeHead.words(["a"]))
            try await eventually("the place is free") {
                try await gateway.post("/v1/completions", ["prompt": "x"]).status == 200
            }
        }
    }

    @Test("connections beyond the limit wait until another closes", .timeLimit(.minutes(1)))
    func connections() async throws {
        try await withGateway(configure: { $0.http.maximumConnections = 3 }) { gateway in
            var open: [RawConnection] = []
            for _ in 0..<3 {
                let connection = try await RawConnection(port: gateway.port)
                try await connection.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try await connection.response().status == 200)
                open.append(connection)
            }
            let waiting = try await RawConnection(port: gateway.port)
            try await waiting.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            open[0].socket.hangUp()
            #expect(try await waiting.response().status == 200)
        }
    }

    @Test("there are never more connections than descriptors for them")
    func descriptors() {
        #expect(Gateway.connectionLimit(wanted: 4_096, descriptors: 1_048_576) == 4_096)
        #expect(Gateway.connectionLimit(wanted: 4_096, descriptors: 1_024) == 512)
        #expect(Gateway.connectionLimit(wanted: 4_096, descriptors: 100) == 1)
        #expect(Gateway.connectionLimit(wanted: 4_096, descriptors: 0) == 4_096)
    }

    @Test("patience is spent by waiting and earned by bytes, and never saved up")
    func pace() {
        var limits = HTTPLimits()
        limits.bodyStallTimeout = .seconds(10)
        limits.bodyMinimumRate = 100
        limits.bodyTimeout = .seconds(60)
        var pace = BodyPace(limits)
        pace.received(1_000_000)
        pace.waited(.seconds(10))
        #expect(!pace.isTooSlow)
        pace.waited(.milliseconds(1))
        #expect(pace.isTooSlow)
        // At the rate it may go on, but not longer than the whole may take.
        pace = BodyPace(limits)
        for _ in 0..<60 {
            pace.waited(.seconds(1))
            #expect(!pace.isTooSlow)
            pace.received(100)
        }
        pace.waited(.seconds(1))
        #expect(pace.isTooSlow)
        // At half the rate the patience lasts twice as long.
        pace = BodyPace(limits)
        for _ in 0..<19 {
            pace.waited(.seconds(1))
            #expect(!pace.isTooSlow)
            pace.received(50)
        }
        pace.waited(.seconds(1))
        #expect(pace.isTooSlow)
        // Without a rate only pauses count.
        limits.bodyMinimumRate = 0
        pace = BodyPace(limits)
        for _ in 0..<5 {
            pace.waited(.seconds(9))
            pace.received(1)
        }
        #expect(!pace.isTooSlow)
    }
}
