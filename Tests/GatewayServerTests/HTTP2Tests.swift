import Foundation
import GatewayServer
import Testing
import Wire

/// HTTP/2 by hand: enough of RFC 9113 to ask one question with prior knowledge.
struct HTTP2Tests {
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt8, _ payload: [UInt8] = []) -> [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags, 0, 0, 0, stream]
            + payload
    }

    /// HPACK: indexed method and scheme, then literals that are not indexed.
    private static func headers(post: Bool, path: String, fields: [(String, String)]) -> [UInt8] {
        func text(_ value: String) -> [UInt8] {
            precondition(value.utf8.count < 127, "this encoder writes short strings only")
            return [UInt8(value.utf8.count)] + Array(value.utf8)
        }
        var block: [UInt8] = [post ? 0x83 : 0x82, 0x86, 0x04] + text(path) + [0x01] + text("localhost")
        for (name, value) in fields { block += [0x00] + text(name) + text(value) }
        return block
    }

    private struct Frame {
        var type: UInt8
        var flags: UInt8
        var stream: UInt8
        var payload: [UInt8]
    }

    /// Reads frames until one of `stream` ends it.
    private func frames(
        _ socket: TestSocket, until stream: UInt8, where isLast: (Frame) -> Bool = { $0.type <= 1 && $0.flags & 1 == 1 }
    ) async throws -> [Frame] {
        var bytes: [UInt8] = []
        var frames: [Frame] = []
        while true {
            while bytes.count >= 9 {
                let length = Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])
                guard bytes.count >= 9 + length else { break }
                let frame = Frame(
                    type: bytes[3], flags: bytes[4], stream: bytes[8], payload: Array(bytes[9..<(9 + length)]))
                bytes.removeFirst(9 + length)
                frames.append(frame)
                if frame.stream == stream && isLast(frame) { return frames }
            }
            let more = try await socket.receive()
            guard !more.isEmpty else { throw TestSocket.Failure(what: "the connection ended") }
            bytes += more
        }
    }

    @Test("one cleartext port speaks HTTP/1.1, and HTTP/2 with prior knowledge", .timeLimit(.minutes(1)))
    func priorKnowledge() async throws {
        try await withGateway { gateway in
            #expect(try await gateway.get("/livez").status == 200)
            let socket = try await TestSocket(port: gateway.port)
            // The preface in two pieces, to be recognised all the same.
            try await socket.send(Array(Self.preface.prefix(5)))
            try await socket.send(Array(Self.preface.dropFirst(5)) + Self.frame(4, stream: 0))
            let body = Array(
                "{\"model\":\"tiny-instruct\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":true}"
                    .utf8)
            let block = Self.headers(
                post: true, path: "/v1/chat/completions", fields: [("authorization", "Bearer \(gateway.key)")])
            try await socket.send(Self.frame(1, flags: 4, stream: 1, block) + Self.frame(0, flags: 1, stream: 1, body))
            let frames = try await frames(socket, until: 1)
            // Index 8 of the static table is ":status: 200".
            #expect(frames.first { $0.type == 1 && $0.stream == 1 }?.payload.first == 0x88)
            let data = frames.filter { $0.type == 0 }.flatMap(\.payload)
            let text = String(decoding: data, as: UTF8.self)
            #expect(text.contains("Hello"))
            #expect(text.hasSuffix("data: [DONE]\n\n"))
        }
    }

    @Test("a reset HTTP/2 stream cancels the call", .timeLimit(.minutes(1)))
    func reset() async throws {
        try await withGateway(script: FakeHead.hangsSilently) { gateway in
            let socket = try await TestSocket(port: gateway.port)
            try await socket.send(Self.preface + Self.frame(4, stream: 0))
            let block = Self.headers(
                post: true, path: "/v1/completions",
                fields: [("authorization", "Bearer \(gateway.key)"), ("x-request-id", "reset")])
            let body = Array("{\"model\":\"tiny-instruct\",\"prompt\":\"x\"}".utf8)
            try await socket.send(Self.frame(1, flags: 4, stream: 1, block) + Self.frame(0, flags: 1, stream: 1, body))
            try await eventually("the call arrived") { gateway.head.seen.requests.count == 1 }
            try await socket.send(Self.frame(3, stream: 1, [0, 0, 0, 8]))
            var iterator = gateway.head.cancellations.makeAsyncIterator()
            #expect(await iterator.next() == "reset")
        }
    }

    /// The first field of a block: an indexed status, or the literal of one without a name of its own, as HPACK has it.
    private static func isStatus(_ code: String, _ block: [UInt8]) -> Bool {
        let indexed: [String: UInt8] = ["200": 0x88, "204": 0x89, "400": 0x8C, "404": 0x8D]
        if let byte = indexed[code] { return block.first == byte }
        // A literal value with the indexed name ":status"; digits may be Huffman-coded, so only the form is looked at.
        return block.first.map { $0 & 0x0F == 8 && $0 < 0x80 || $0 == 0x48 } == true
    }

    @Test("a stream whose body does not come is answered and others go on", .timeLimit(.minutes(1)))
    func slowBody() async throws {
        try await withGateway(configure: { $0.http.bodyStallTimeout = .milliseconds(400) }) { gateway in
            let socket = try await TestSocket(port: gateway.port)
            let fields = [("authorization", "Bearer \(gateway.key)")]
            try await socket.send(
                Self.preface + Self.frame(4, stream: 0)
                    + Self.frame(
                        1, flags: 4, stream: 1, Self.headers(post: true, path: "/v1/completions", fields: fields))
                    + Self.frame(0, stream: 1, Array("{".utf8)))
            let frames = try await frames(socket, until: 1)
            let data = frames.filter { $0.type == 0 && $0.stream == 1 }.flatMap(\.payload)
            #expect(String(decoding: data, as: UTF8.self).contains("request_timeout"))
            try await socket.send(
                Self.frame(1, flags: 5, stream: 3, Self.headers(post: false, path: "/v1/models", fields: fields)))
            let others = try await self.frames(socket, until: 3)
            #expect(others.contains { $0.type == 1 && $0.stream == 3 && Self.isStatus("200", $0.payload) })
        }
    }

    @Test("a stream that is refused before its body has come is reset in the end", .timeLimit(.minutes(1)))
    func earlyAnswer() async throws {
        try await withGateway(configure: { $0.http.bodyStallTimeout = .milliseconds(400) }) { gateway in
            let socket = try await TestSocket(port: gateway.port)
            try await socket.send(
                Self.preface + Self.frame(4, stream: 0)
                    + Self.frame(1, flags: 4, stream: 1, Self.headers(post: true, path: "/none", fields: [])))
            let frames = try await frames(socket, until: 1, where: { $0.type == 3 })
            #expect(frames.contains { $0.type == 0 && $0.stream == 1 && $0.flags & 1 == 1 })
        }
    }

    @Test("HEAD, a wrong method and escapes are as in HTTP/1", .timeLimit(.minutes(1)))
    func methods() async throws {
        try await withGateway { gateway in
            let socket = try await TestSocket(port: gateway.port)
            try await socket.send(Self.preface + Self.frame(4, stream: 0))
            let fields = [("authorization", "Bearer \(gateway.key)")]
            // Index 2 is ":method: GET"; HEAD is a literal with the name of index 2.
            var block = Self.headers(post: false, path: "/v1/%6dodels", fields: fields)
            block.replaceSubrange(0..<1, with: [0x02, 0x04] + Array("HEAD".utf8))
            try await socket.send(Self.frame(1, flags: 5, stream: 1, block))
            let head = try await frames(socket, until: 1)
            #expect(head.contains { $0.type == 1 && $0.stream == 1 && Self.isStatus("200", $0.payload) })
            #expect(head.filter { $0.type == 0 }.allSatisfy { $0.payload.isEmpty })
            try await socket.send(
                Self.frame(
                    1, flags: 5, stream: 3, Self.headers(post: false, path: "/v1/completions", fields: fields)))
            let wrong = try await frames(socket, until: 3)
            let data = wrong.filter { $0.type == 0 }.flatMap(\.payload)
            #expect(String(decoding: data, as: UTF8.self).contains("method_not_allowed"))
        }
    }

    @Test("a connection without streams is closed when its time is over", .timeLimit(.minutes(1)))
    func idle() async throws {
        try await withGateway(configure: {
            $0.idleTimeout = .milliseconds(300)
            $0.http.goodbyeTimeout = .milliseconds(300)
        }) { gateway in
            let socket = try await TestSocket(port: gateway.port)
            // Headers that never end open no stream, and this client answers no PING.
            let block = Self.headers(post: false, path: "/livez", fields: [])
            try await socket.send(Self.preface + Self.frame(4, stream: 0) + Self.frame(1, stream: 1, block))
            _ = try await socket.receiveAll()
        }
    }

    @Test(
        "a request with fields that HTTP/2 forbids is not served", .timeLimit(.minutes(1)),
        arguments: [[("connection", "close")], [("transfer-encoding", "chunked")], [("X-Upper", "a")], [(":odd", "a")]])
    func forbiddenFields(_ fields: [(String, String)]) async throws {
        try await withGateway { gateway in
            let socket = try await TestSocket(port: gateway.port)
            try await socket.send(
                Self.preface + Self.frame(4, stream: 0)
                    + Self.frame(1, flags: 5, stream: 1, Self.headers(post: false, path: "/livez", fields: fields)))
            // The stream or all of the connection ends (RFC 9113, 5.4.2); the others are served on.
            let said = String(decoding: try await socket.receiveAll(), as: UTF8.self)
            #expect(!said.contains("alive"))
            #expect(try await gateway.get("/livez").status == 200)
        }
    }
}
