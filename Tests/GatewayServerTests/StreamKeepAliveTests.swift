import Foundation
import GatewayServer
import Synchronization
import Testing
import Wire

struct StreamKeepAliveTests {
    private static func quick(_ configuration: inout GatewayConfiguration) {
        configuration.http.pingInterval = .milliseconds(100)
    }

    private static func stream(_ gateway: GatewayFixture) async throws -> RawConnection {
        let connection = try await RawConnection(port: gateway.port)
        let body = "{\"model\":\"tiny-instruct\",\"prompt\":\"x\",\"stream\":true}"
        try await connection.send(
            "POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key)\r\n"
                + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
        return connection
    }

    @Test("a silent prefill and silence between tokens are filled with comments", .timeLimit(.minutes(1)))
    func comments() async throws {
        let script: FakeHead.Script = { request, writer in
            try await Task.sleep(for: .milliseconds(700))
            try await writer.write(FakeHead.started(request))
            try await writer.write(FakeHead.delta("Hello", token: 1, request))
            try await Task.sleep(for: .milliseconds(700))
            try await writer.write(FakeHead.delta(" world", token: 2, request))
            try await writer.write(FakeHead.finished(2, request))
        }
        try await withGateway(script: script, configure: Self.quick) { gateway in
            let connection = try await Self.stream(gateway)
            let response = try await connection.response()
            #expect(response.status == 200)
            let parts = response.text.components(separatedBy: "\n\n").filter { !$0.isEmpty }
            #expect(parts.first == ": ping")
            #expect(parts.allSatisfy { $0 == ": ping" || $0.hasPrefix("data: ") })
            let hello = try #require(parts.firstIndex { $0.contains("Hello") })
            let world = try #require(parts.firstIndex { $0.contains(" world") })
            #expect(parts[..<hello].count { $0 == ": ping" } >= 2)
            #expect(parts[hello..<world].count { $0 == ": ping" } >= 2)
            #expect(parts.last == "data: [DONE]")
            // The connection is in step.
            try await connection.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await connection.response().status == 200)
        }
    }

    @Test("an error before the first comment is a status, and after it an event", .timeLimit(.minutes(1)))
    func errors() async throws {
        let isLate = Mutex(false)
        let script: FakeHead.Script = { _, _ in
            if isLate.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(500)) }
            throw RPCError(.invalidArgument, "the prompt is odd")
        }
        try await withGateway(script: script, configure: Self.quick) { gateway in
            let early = try await Self.stream(gateway).response()
            #expect(early.status == 400)
            #expect(early.text.contains("the prompt is odd"))
            isLate.withLock { $0 = true }
            let late = try await Self.stream(gateway).response()
            #expect(late.status == 200)
            #expect(late.text.hasPrefix(": ping\n\n"))
            #expect(late.text.contains("data: {\"error\":{\"message\":\"the prompt is odd\""))
            #expect(late.text.hasSuffix("data: [DONE]\n\n"))
        }
    }

    @Test("a stream that is never silent has no comments, and an interval of zero makes none", .timeLimit(.minutes(1)))
    func none() async throws {
        try await withGateway(configure: Self.quick) { gateway in
            let response = try await Self.stream(gateway).response()
            #expect(!response.text.contains("ping"))
        }
        let script: FakeHead.Script = { request, writer in
            try await Task.sleep(for: .milliseconds(300))
            try await FakeHead.words(["a"])(request, writer)
        }
        try await withGateway(script: script, configure: { $0.http.pingInterval = .zero }) { gateway in
            let response = try await Self.stream(gateway).response()
            #expect(!response.text.contains("ping"))
        }
    }

    @Test("waiting for the next element takes none, and ends with the time")
    func waiting() async throws {
        let channel = BoundedChannel<Int>(capacity: 4)
        #expect(await !channel.waitForNext(.milliseconds(20)))
        let other = BoundedChannel<Int>(capacity: 4)
        async let hasNext = other.waitForNext(.seconds(60))
        try await other.send(7)
        #expect(await hasNext)
        #expect(try await other.next() == 7)
        let ended = BoundedChannel<Int>(capacity: 4)
        async let hasEnd = ended.waitForNext(.seconds(60))
        ended.finish(throwing: CancellationError())
        #expect(await hasEnd)
        await #expect(throws: CancellationError.self) { try await ended.next() }
    }
}
