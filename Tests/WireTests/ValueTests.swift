import Testing
import Wire

struct ValueTests {
    @Test("status codes have gRPC's numbers and names")
    func statusCodes() {
        #expect(StatusCode.all.map(\.rawValue) == Array(0...16))
        #expect(StatusCode(rawValue: 17) == nil)
        #expect(StatusCode(rawValue: -1) == nil)
        #expect(StatusCode.ok.rawValue == 0)
        #expect(StatusCode.deadlineExceeded.rawValue == 4)
        #expect(StatusCode.unimplemented.rawValue == 12)
        #expect(StatusCode.internalError.rawValue == 13)
        #expect(StatusCode.unavailable.rawValue == 14)
        #expect(StatusCode.unauthenticated.rawValue == 16)
        #expect(StatusCode.unauthenticated.description == "UNAUTHENTICATED")
        #expect(Set(StatusCode.all.map(\.description)).count == 17)
    }

    @Test("metadata keeps order, replaces and removes")
    func metadata() {
        var metadata: Metadata = ["b": "1", "a": "2", "b": "3"]
        #expect(metadata["b"] == "1")
        #expect(metadata["c"] == nil)
        metadata["b"] = "4"
        #expect(metadata.entries.map(\.key) == ["a", "b"])
        metadata["a"] = nil
        #expect(metadata.entries == [.init(key: "b", value: "4")])
        #expect(metadata.problem() == nil)
    }

    @Test(
        "targets are read from text",
        arguments: [
            ("localhost:80", WireTarget.address(host: "localhost", port: 80)),
            ("[::1]:8080", .address(host: "::1", port: 8080)),
            ("dns:shard.fathom.svc:9000", .dns(name: "shard.fathom.svc", port: 9000)),
            ("a:1,b:2, c:3", .list([.init(host: "a", port: 1), .init(host: "b", port: 2), .init(host: "c", port: 3)])),
        ])
    func targets(text: String, expected: WireTarget) throws {
        #expect(try WireTarget(parsing: text) == expected)
    }

    @Test(
        "what is no target is refused",
        arguments: [
            "", "host", "host:", ":1", "host:0", "host:65536", "host:x", "a:1,,b:2", "a:1,", "::1:80", "dns:", "[]:1",
        ])
    func badTargets(text: String) {
        #expect(throws: RPCError.self) { try WireTarget(parsing: text) }
    }

    @Test("pauses double up to the maximum, with jitter, and start over after a reset")
    func backoff() {
        var generator = SystemRandomNumberGenerator()
        var backoff = Backoff(minimum: .milliseconds(50), maximum: .seconds(2))
        var pauses: [Duration] = []
        for _ in 0..<100 { pauses.append(backoff.next(using: &generator)) }
        for (index, longest) in ([50, 100, 200, 400, 800, 1600] + Array(repeating: 2000, count: 94)).enumerated() {
            #expect(pauses[index] >= .milliseconds(longest) / 2)
            #expect(pauses[index] <= .milliseconds(longest))
        }
        #expect(Set(pauses).count > 50)
        backoff.reset()
        #expect(backoff.next(using: &generator) <= .milliseconds(50))
    }

    @Test("what a handler throws becomes what its caller sees")
    func handlerErrors() {
        struct Other: Error {}
        #expect(RPCError(handlerError: RPCError(.notFound, "x")).code == .notFound)
        #expect(RPCError(handlerError: CancellationError()).code == .cancelled)
        #expect(RPCError(handlerError: Other()).code == .internalError)
    }

    @Test("percentiles of latencies")
    func percentiles() {
        let latencies = PingPong.Latencies(transport: .unary, nanoseconds: Array((1...101).reversed()))
        #expect(latencies.percentile(0) == .nanoseconds(1))
        #expect(latencies.percentile(0.5) == .nanoseconds(51))
        #expect(latencies.percentile(1) == .nanoseconds(101))
        #expect(PingPong.Latencies(transport: .unary, nanoseconds: []).percentile(0.5) == .zero)
    }

    @Test("the benchmark measures every transport")
    func benchmark() async throws {
        let results = try await PingPong.run(rounds: 50, payloadBytes: 1000, logger: quietLogger)
        #expect(results.map(\.transport) == PingPong.Transport.allCases)
        for result in results { #expect(result.nanoseconds.count == 50) }
    }
}
