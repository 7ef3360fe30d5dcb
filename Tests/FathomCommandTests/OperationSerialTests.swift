import AsyncHTTPClient
import FathomCommand
import Foundation
import Glibc
import ModelRegistry
import NIOCore
import NIOHTTP1
import Testing

/// Running, watching and restarting a cluster of real processes.
@Suite(.serialized)
struct OperationSerialTests {
    private static let promtool = ["/usr/bin/promtool", "/usr/local/bin/promtool"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    @Test(
        "what the gateway and the monitor give Prometheus follows its rules",
        .enabled(if: promtool != nil, "there is no promtool: run scripts/install-packages.sh"))
    func metrics() async throws {
        try await withTemporaryDirectory { scratch in
            try await ClusterFixture.with(shards: 2, scratch: scratch) { fixture in
                _ = try await fixture.complete("The capital of France is")
                // The monitor's text holds what shards, store and gateway report to it.
                let hasAll = try await poll(within: .seconds(20)) {
                    let text = try await Self.metrics(of: fixture.cluster.monitorURL)
                    return [
                        "fathom_shard_generated_tokens_total", "fathom_store_chunks", "fathom_gateway_requests_total",
                    ]
                    .allSatisfy(text.contains)
                }
                #expect(hasAll)
                for url in [fixture.cluster.monitorURL, fixture.cluster.gatewayURL] {
                    let text = try await Self.metrics(of: url)
                    try write(text, to: scratch + "/metrics.txt")
                    let log = scratch + "/promtool.log"
                    let pid = try ProcessSpawner(
                        executable: "/bin/sh",
                        arguments: ["-c", "exec \(Self.promtool ?? "") check metrics < \(scratch)/metrics.txt"],
                        logPath: log
                    ).spawn()
                    let status = await ProcessSpawner.wait(for: pid)
                    let said = (try? read(log)) ?? ""
                    #expect(status == 0 && said.isEmpty, "\(url ?? ""): \(said)")
                    // Prometheus sets these itself, and renames ours.
                    #expect(!text.contains("instance=\"") && !text.contains("job=\""))
                }
            }
        }
    }

    private static func metrics(of url: String?) async throws -> String {
        let request = HTTPClientRequest(url: (url ?? "") + "/metrics")
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        return String(buffer: try await response.body.collect(upTo: 16 << 20))
    }

    @Test("the monitor answers nothing to a page that comes under another name")
    func rebinding() async throws {
        try await withTemporaryDirectory { scratch in
            try await ClusterFixture.with(shards: 1, scratch: scratch) { fixture in
                for path in ["/", "/metrics", "/api/cluster", "/api/history", "/livez", "/nothing"] {
                    for (host, isOurs) in [("rebound.example.com", false), ("10.1.2.3", false), ("localhost:1", true)] {
                        var request = HTTPClientRequest(url: (fixture.cluster.monitorURL ?? "") + path)
                        request.headers.add(name: "Host", value: host)
                        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
                        let text = String(buffer: try await response.body.collect(upTo: 16 << 20))
                        #expect((response.status.code == 421) != isOurs, "\(path) of \(host): \(response.status)")
                        #expect(isOurs || !text.contains("shard-0"), "\(path) of \(host)")
                    }
                }
            }
        }
    }

    @Test("a shard that served is started again at once, however often it is killed")
    func killedOften() async throws {
        try await withTemporaryDirectory { scratch in
            try await ClusterFixture.with(shards: 1, scratch: scratch) { fixture in
                for round in 1...4 {
                    let victim = try #require(
                        ClusterFile.load(fixture.home).processes.first { $0.name == "shard-0" && $0.pid > 0 })
                    kill(victim.pid, SIGKILL)
                    let isBack = try await poll(within: .seconds(60)) {
                        let now = try ClusterFile.load(fixture.home).processes.first { $0.name == "shard-0" }
                        guard let now, now.restarts == round, now.pid > 0 else { return false }
                        return try await fixture.request(.GET, "/readyz").status == 200
                    }
                    try #require(isBack, "round \(round)")
                }
                let log = try read(fixture.home.logFile("supervisor"))
                let pauses = log.split(separator: "\n").filter { $0.contains("shard-0 starts again in 0.3 seconds") }
                #expect(pauses.count == 4, "\(log)")
                #expect(log.contains("was ended by signal 9 (killed)"))
            }
        }
    }

    @Test("a port in use is named, with its flag, by up and by the service")
    func portInUse() async throws {
        try await withTemporaryDirectory { scratch in
            try await ClusterFixture.with(shards: 1, scratch: scratch) { fixture in
                let port = try #require(fixture.cluster.processes.first { $0.kind == "gateway" }?.port)
                for flag in ["--gateway-port", "--monitor-port"] {
                    let up = try await ClusterFixture.fathom(
                        ["up", "--detach", "--home", scratch + "/second", flag, String(port)], scratch: scratch)
                    #expect(up.status == 1)
                    #expect(
                        up.output.contains("\(flag): 127.0.0.1:\(port) is in use by another process"), "\(up.output)")
                    #expect(!up.output.contains("status 1"), "\(up.output)")
                }
                let log = scratch + "/monitor.log"
                let pid = try ProcessSpawner(
                    executable: ClusterFixture.executables + "/fathom-monitor",
                    arguments: ["--port", "0", "--http-port", String(port)], logPath: log
                ).spawn()
                #expect(await ProcessSpawner.wait(for: pid) == 1)
                #expect(
                    try read(log).contains(
                        "fathom-monitor: error: --http-port: 127.0.0.1:\(port) is in use by another process"))
            }
        }
    }

    @Test("up says what the process that failed said last, and where its log is")
    func failedStart() async throws {
        try await withTemporaryDirectory { scratch in
            let home = scratch + "/home"
            let up = try await ClusterFixture.fathom(
                ["up", "--detach", "--home", home, "--shard-option", "max-waiting=65537"], scratch: scratch)
            #expect(up.status == 1)
            #expect(
                up.output.contains("--max-waiting: got \"65537\", expected a whole number in 1...65536"), "\(up.output)"
            )
            #expect(up.output.contains("\(home)/logs/shard-1.log"), "\(up.output)")
            #expect(!up.output.contains("ended with status"), "\(up.output)")
        }
    }

    @Test("status names all models and the encoder, also while the head is away")
    func statusNamesModels() async throws {
        try await withTemporaryDirectory { scratch in
            try await ClusterFixture.with(
                shards: 1, scratch: scratch, arguments: ["--model", "one=smollm2-135m-instruct"]
            ) { fixture in
                let home = ["--home", fixture.home.path]
                let well = try await ClusterFixture.fathom(["status"] + home, scratch: scratch)
                #expect(well.status == 0, "\(well.output)")
                #expect(well.output.contains("one"), "\(well.output)")
                #expect(well.output.contains("encoder: all-minilm-l6-v2"), "\(well.output)")
                let head = try #require(fixture.cluster.processes.first { $0.name == "shard-0" })
                kill(head.pid, SIGSTOP)
                defer { kill(head.pid, SIGCONT) }
                let away = try await ClusterFixture.fathom(["status"] + home, scratch: scratch)
                #expect(away.status == 1)
                #expect(away.output.contains("one") && away.output.contains("unknown"), "\(away.output)")
            }
        }
    }
}
