import Foundation
import Hummingbird
import HummingbirdTesting
import MonitorServer
import ServiceSupport
import Testing
import WireProtocols

struct MonitorRoutesTests {
    private let hostile = "<script>alert(1)</script>\"\\\n{}"

    private func withMonitor(
        _ processes: [ReportingProcess], _ body: @Sendable (any TestClientProtocol) async throws -> Void
    ) async throws {
        let state = ClusterState(clock: { 1_700_000_000_000 })
        for process in processes { _ = state.receive(process.report()) }
        state.tick()
        let registry = MetricsRegistry()
        registry.gauge("fathom_monitor_members", help: "x").set(1)
        let application = Application(router: MonitorRoutes(state: state, metrics: registry).router())
        try await application.test(.router) { try await body($0) }
    }

    private func hostileProcess() -> ReportingProcess {
        var process = ReportingProcess("gateway", hostile)
        process.identity.attributes["model"] = hostile
        process.health = .init(serving: false, reason: hostile)
        process.registry.counter("fathom_gateway_requests_total", help: hostile, labels: [("route", hostile)])
            .increment()
        return process
    }

    @Test("the cluster document is JSON with everything the page shows")
    func cluster() async throws {
        let processes = ClusterModel.complete
        processes[1].registry.gauge("fathom_shard_kv_blocks_used", help: "x").set(1)
        processes[1].registry.gauge("fathom_shard_kv_blocks", help: "x").set(4)
        processes[1].registry.gauge("fathom_shard_running_sequences", help: "x").set(.nan)
        try await withMonitor(processes) { client in
            try await client.execute(uri: "/api/cluster", method: .get) { response in
                #expect(response.status == .ok)
                let document = try #require(
                    JSONSerialization.jsonObject(with: Data(response.body.readableBytesView)) as? [String: Any])
                let members = try #require(document["members"] as? [[String: Any]])
                #expect(
                    members.map { $0["key"] as? String } == ["gateway", "shard-0", "shard-1", "store", "monitor"])
                #expect(members[1]["kvCacheUse"] as? Double == 0.25)
                #expect(members[1]["stageIndex"] as? Int == 0)
                #expect(members[1]["running"] == nil)
                #expect(members[1]["state"] as? String == "serving")
                #expect((document["status"] as? [String: Any])?["level"] as? String == "ok")
            }
        }
    }

    @Test("hostile names come out of the JSON as they went in")
    func hostileJSON() async throws {
        try await withMonitor([hostileProcess()]) { client in
            try await client.execute(uri: "/api/cluster", method: .get) { response in
                let document = try #require(
                    JSONSerialization.jsonObject(with: Data(response.body.readableBytesView)) as? [String: Any])
                let member = try #require((document["members"] as? [[String: Any]])?.first)
                #expect(member["instance"] as? String == hostile)
                #expect(member["reason"] as? String == hostile)
                #expect((member["attributes"] as? [String: String])?["model"] == hostile)
                #expect(response.headers[.contentType] == "application/json")
            }
        }
    }

    @Test("the metrics of all members are one well-formed text, hostile labels included")
    func metrics() async throws {
        var second = ReportingProcess("gateway", "gateway-2")
        second.identity.processID = 43
        second.registry.counter(
            "fathom_gateway_requests_total", help: "y", labels: [("route", "/v1"), ("member", "own")]
        ).increment(by: 7.0)
        second.registry.histogram("fathom_gateway_request_seconds", help: "s", bounds: [1]).record(0.5)
        try await withMonitor([hostileProcess(), second]) { client in
            try await client.execute(uri: "/metrics", method: .get) { response in
                #expect(response.headers[.contentType] == PrometheusText.contentType)
                let parsed = try PrometheusParser(String(buffer: response.body))
                #expect(
                    parsed.value(
                        "fathom_gateway_requests_total",
                        ["member": hostile, "kind": "gateway", "route": hostile]) == 1)
                #expect(
                    parsed.value(
                        "fathom_gateway_requests_total",
                        ["member": "gateway-2", "kind": "gateway", "route": "/v1", "exported_member": "own"]) == 7)
                #expect(
                    parsed.value(
                        "fathom_gateway_request_seconds_bucket",
                        ["member": "gateway-2", "kind": "gateway", "le": "+Inf"]) == 1)
                #expect(
                    parsed.value("fathom_monitor_member_up", ["member": "gateway-2", "kind": "gateway"]) == 1)
                #expect(
                    parsed.value("fathom_monitor_member_serving", ["member": hostile, "kind": "gateway"]) == 0)
                #expect(parsed.value("fathom_monitor_members") == 1)
            }
        }
    }

    @Test("the page is one file: no address in it, nothing put in as markup, a policy that forbids both")
    func page() async throws {
        try await withMonitor([]) { client in
            try await client.execute(uri: "/", method: .get) { response in
                #expect(response.status == .ok)
                #expect(response.headers[.contentType] == "text/html; charset=utf-8")
                let page = String(buffer: response.body)
                #expect(page.hasPrefix("<!DOCTYPE html>"))
                for forbidden in [
                    "http:", "https:", "//cdn", "@import", "url(", "src=", "<link", "innerHTML", "outerHTML",
                    "insertAdjacentHTML", "document.write", "eval(",
                ] {
                    #expect(!page.contains(forbidden), "the page contains \(forbidden)")
                }
                let policy = response.headers.first { $0.name.rawName == "Content-Security-Policy" }?.value
                #expect(policy?.contains("default-src 'none'") == true)
                #expect(policy?.contains("connect-src 'self'") == true)
            }
        }
    }

    @Test("history gives what is newer than asked, and refuses nonsense")
    func history() async throws {
        try await withMonitor(ClusterModel.complete) { client in
            func times(_ uri: String) async throws -> [Int] {
                try await client.execute(uri: uri, method: .get) { response in
                    #expect(response.status == .ok)
                    let document = try JSONSerialization.jsonObject(with: Data(response.body.readableBytesView))
                    return try #require((document as? [String: Any])?["times"] as? [Int])
                }
            }
            #expect(try await times("/api/history") == [1_700_000_000_000])
            #expect(try await times("/api/history?since=1699999999999") == [1_700_000_000_000])
            #expect(try await times("/api/history?since=1700000000000") == [])
            #expect(try await times("/api/members/shard-0/history") == [1_700_000_000_000])
            try await client.execute(uri: "/api/history?since=yesterday", method: .get) {
                #expect($0.status == .badRequest)
            }
            try await client.execute(uri: "/api/members/nobody/history", method: .get) {
                #expect($0.status == .notFound)
            }
        }
    }

    @Test("the liveness probe answers, other methods do not exist")
    func livez() async throws {
        try await withMonitor([]) { client in
            try await client.execute(uri: "/livez", method: .get) { #expect($0.status == .ok) }
            try await client.execute(uri: "/api/cluster", method: .post) { #expect($0.status != .ok) }
        }
    }
}
