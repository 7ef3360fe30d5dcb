import MonitorServer
import ServiceSupport
import Testing
import WireProtocols

struct ClusterStatusTests {
    private let now: Int64 = 1_700_000_000_000

    private func status(_ processes: [ReportingProcess], later: Int64 = 0) -> ClusterStatus {
        ClusterStatus(ClusterModel(processes, now: now), now: now + later)
    }

    @Test("a complete cluster is fine")
    func fine() {
        let status = status(ClusterModel.complete)
        #expect(status.level == .ok)
        #expect(status.headline == "All 5 services are up.")
        #expect(status.problems.isEmpty)
    }

    @Test("a missing stage is named, with what it means")
    func missingStage() {
        let status = status(ClusterModel.complete.filter { $0.identity.instance != "shard-1" })
        #expect(status.level == .critical)
        #expect(status.headline == "Requests are not being served.")
        #expect(
            status.problems.map(\.text) == [
                "Stage 1 of the pipeline (2 stages) has no serving shard: no text can be generated."
            ])
    }

    @Test("a lost store is a warning, the worst problem comes first")
    func order() {
        let kinds = ClusterModel.complete.filter { !["store", "gateway"].contains($0.identity.kind) }
        let status = status(kinds)
        #expect(status.level == .critical)
        #expect(status.problems.map(\.level) == [.critical, .warning])
        #expect(status.problems.first?.text.hasPrefix("No gateway has reported yet") == true)
        #expect(self.status(ClusterModel.complete.filter { $0.identity.kind != "store" }).level == .warning)
    }

    @Test("silence is said with its length and the address")
    func silence() {
        let model = ClusterModel(ClusterModel.complete, now: now)
        let status = ClusterStatus(model, now: now + 14_000)
        #expect(status.level == .critical)
        let text = status.problems.map(\.text).first { $0.hasPrefix("shard-1 (stage 1)") }
        #expect(text?.contains("has not reported for 14 s") == true)
        #expect(text?.contains("127.0.0.1:") == true)
    }

    @Test("a process that says why it does not serve is quoted")
    func reason() {
        var processes = ClusterModel.complete
        processes[3].health = .init(serving: false, reason: "index is being rebuilt")
        let status = status(processes)
        #expect(status.level == .warning)
        #expect(status.problems.contains { $0.text == "store is up but does not serve: index is being rebuilt." })
    }

    @Test("a full KV cache and a long queue are said")
    func load() {
        let processes = ClusterModel.complete
        processes[1].registry.gauge("fathom_shard_kv_blocks_used", help: "x").set(99)
        processes[1].registry.gauge("fathom_shard_kv_blocks", help: "x").set(100)
        processes[1].registry.gauge("fathom_shard_waiting_sequences", help: "x").set(40)
        processes[1].registry.gauge("fathom_shard_running_sequences", help: "x").set(8)
        let texts = status(processes).problems.map(\.text)
        #expect(texts.contains { $0.hasPrefix("The KV cache is 99 % full") })
        #expect(texts.contains { $0.hasPrefix("40 requests wait while 8 run") })
    }

    @Test("an absurd stage count does not make an absurd list")
    func absurdStageCount() {
        let status = status([ReportingProcess("shard", "s", stage: 0, stages: .max)])
        #expect(status.problems.count < 100)
    }
}
