import Foundation
import GatewayServer
import ServiceSupport
import Testing

/// Where Debian's package `prometheus` puts it.
private let promtoolPath = "/usr/bin/promtool"

struct GatewayMetricsTests {
    @Test("series have the served model as a label, and names that only clients say have none", .timeLimit(.minutes(1)))
    func models() async throws {
        try await withGateway { gateway in
            for _ in 0..<2 {
                #expect(
                    try await gateway.post(
                        "/v1/completions",
                        ["model": "tiny-instruct", "prompt": "a b", "temperature": 0, "max_tokens": 3]
                    ).status == 200)
            }
            #expect(try await gateway.post("/v1/completions", ["model": "stranger", "prompt": "a"]).status == 404)
            #expect(
                try await gateway.post("/v1/embeddings", ["model": "all-minilm-l6-v2", "input": "x"]).status == 200)
            let text = try await gateway.get("/metrics", key: "").text
            for series in [
                "fathom_gateway_requests_total{route=\"/v1/completions\",model=\"tiny-instruct\",status=\"200\"} 2",
                "fathom_gateway_requests_total{route=\"/v1/completions\",status=\"404\"} 1",
                "fathom_gateway_requests_total{route=\"/v1/embeddings\",model=\"all-minilm-l6-v2\",status=\"200\"} 1",
                "fathom_gateway_cache_hits_total{model=\"tiny-instruct\"} 1",
                "fathom_gateway_time_to_first_token_seconds_count{model=\"tiny-instruct\"} 1",
                "fathom_gateway_key_file_readable 1",
            ] { #expect(text.contains(series + "\n"), "\(series)") }
            #expect(!text.contains("stranger"))
        }
    }

    @Test(
        "promtool has nothing to say about the metrics",
        .enabled(
            if: FileManager.default.isExecutableFile(atPath: promtoolPath),
            "promtool (Debian: prometheus) is not installed"
        ),
        .timeLimit(.minutes(1)))
    func promtool() async throws {
        try await withGateway { gateway in
            ProcessMetrics.register(in: gateway.metrics, startedAt: Date())
            _ = try await gateway.post("/v1/completions", ["prompt": "a", "temperature": 0, "max_tokens": 3])
            _ = try await gateway.post("/v1/embeddings", ["model": "all-minilm-l6-v2", "input": "x"])
            _ = try await gateway.get("/none")
            let reply = try await gateway.get("/metrics", key: "")
            #expect(reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            let path = gateway.directory + "/metrics.txt"
            try Data(reply.body).write(to: URL(fileURLWithPath: path))
            let process = Process()
            process.executableURL = URL(fileURLWithPath: promtoolPath)
            process.arguments = ["check", "metrics"]
            process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            let output = Pipe()
            process.standardOutput = output
            process.standardError = output
            try process.run()
            let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            #expect(said == "")
        }
    }
}
