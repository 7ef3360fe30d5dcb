import MonitorServer
import ServiceSupport
import Testing
import WireProtocols

struct ClusterModelTests {
    private let start: Int64 = 1_700_000_000_000

    @Test("a member is offline after three intervals without a report, and back with the next one")
    func offline() {
        let process = ReportingProcess("store", "store")
        var model = ClusterModel([process], now: start)
        func state(_ after: Int64) -> ClusterMember.State? {
            model.members["store"]?.state(now: start + after, limits: model.limits)
        }
        #expect(state(0) == .serving)
        #expect(state(2999) == .serving)
        #expect(state(3000) == .offline)
        _ = model.receive(process.report(), key: "store", now: start + 5000)
        #expect(state(5001) == .serving)
        model.disconnect("store")
        #expect(state(5001) == .offline)
    }

    @Test("a member that said goodbye is stopped, not offline, and soon forgotten")
    func stopped() {
        var process = ReportingProcess("store", "store")
        process.health = .init(serving: false, reason: "shutting down")
        var model = ClusterModel([process], now: start)
        #expect(model.members["store"]?.state(now: start + 10_000, limits: model.limits) == .stopped)
        model.tick(now: start + 61_000)
        #expect(model.members.isEmpty)
    }

    @Test("a member that went away is shown for an hour")
    func forgotten() {
        var model = ClusterModel([ReportingProcess("store", "store")], now: start)
        model.tick(now: start + 3_599_000)
        #expect(model.members.count == 1)
        model.tick(now: start + 3_601_000)
        #expect(model.members.isEmpty)
    }

    @Test("rates come from increases of counters, a restart does not make them jump")
    func rates() throws {
        var process = ReportingProcess("shard", "shard-0", stage: 0, stages: 1)
        let tokens = process.registry.counter("fathom_shard_generated_tokens_total", help: "x")
        tokens.increment(by: 1_000_000.0)
        var model = ClusterModel()
        // The first report says what happened before anybody looked.
        _ = model.receive(process.report(), now: start)
        for second in 1...10 {
            tokens.increment(by: 100.0)
            _ = model.receive(process.report(), key: "shard-0", now: start + Int64(second) * 1000)
        }
        #expect(model.currentValues(now: start + 11_000)["tokensPerSecond"] == 100)

        // The process restarts under its name and counts from zero.
        process = ReportingProcess("shard", "shard-0", stage: 0, stages: 1)
        process.identity.startedAt = 2000
        process.registry.counter("fathom_shard_generated_tokens_total", help: "x").increment(by: 50.0)
        _ = model.receive(process.report(), key: "shard-0", now: start + 17_000)
        let rate = try #require(model.currentValues(now: start + 18_000)["tokensPerSecond"])
        #expect(rate == 0)
    }

    @Test("tokens are counted at the head of a pipeline only")
    func headOnly() {
        var model = ClusterModel()
        let processes = (0...1).map { (stage: Int) in
            ReportingProcess("shard", "shard-\(stage)", stage: stage, stages: 2)
        }
        for second in 0...6 {
            for process in processes {
                process.registry.counter("fathom_shard_generated_tokens_total", help: "x").increment(by: 10.0)
                process.registry.gauge("fathom_shard_waiting_sequences", help: "x").set(3)
                _ = model.receive(
                    process.report(), key: process.identity.instance, now: start + Int64(second) * 1000)
            }
        }
        let values = model.currentValues(now: start + 6500)
        #expect(values["tokensPerSecond"] == 10)
        #expect(values["waiting"] == 3)
    }

    @Test("percentiles cover the last minute only, over all gateways")
    func percentiles() throws {
        var model = ClusterModel()
        let processes = ["a", "b"].map { ReportingProcess("gateway", $0) }
        func report(_ second: Int64) {
            for process in processes {
                _ = model.receive(process.report(), key: process.identity.instance, now: start + second * 1000)
            }
        }
        let histograms = processes.map {
            $0.registry.histogram("fathom_gateway_time_to_first_token_seconds", help: "x", bounds: [1, 2, 4, 8])
        }
        report(0)
        histograms[0].record(7)
        report(1)
        #expect((model.currentValues(now: start + 2000)["timeToFirstTokenP50"] ?? 0) > 4)
        for index in 0..<100 { histograms[index % 2].record(1.5) }
        report(70)
        let values = model.currentValues(now: start + 71_000)
        let median = try #require(values["timeToFirstTokenP50"])
        #expect(median > 1 && median <= 2)
        #expect(try #require(values["timeToFirstTokenP99"]) <= 2)
        #expect(model.currentValues(now: start + 200_000)["timeToFirstTokenP50"] == nil)
    }

    @Test("failed requests are counted, health checks are no requests")
    func errors() {
        var model = ClusterModel()
        let process = ReportingProcess("gateway", "gateway")
        func count(_ route: String, _ status: String, _ amount: Double) {
            process.registry.counter(
                "fathom_gateway_requests_total", help: "x", labels: [("route", route), ("status", status)]
            ).increment(by: amount)
        }
        count("/v1/chat/completions", "200", 1)
        _ = model.receive(process.report(), now: start)
        count("/v1/chat/completions", "200", 10)
        count("/v1/chat/completions", "503", 5)
        count("/readyz", "503", 1000)
        _ = model.receive(process.report(), key: "gateway", now: start + 1000)
        let values = model.currentValues(now: start + 2000)
        #expect(values["requestsPerSecond"] == 3)
        #expect(values["errorsPerSecond"] == 1)
        #expect(model.errorsInLastMinute(now: start + 2000) == 5)
    }

    @Test("the cache hit rate is unknown until somebody asks")
    func hitRate() {
        var model = ClusterModel()
        let process = ReportingProcess("gateway", "gateway")
        let hits = process.registry.counter("fathom_gateway_cache_hits_total", help: "x")
        let misses = process.registry.counter("fathom_gateway_cache_misses_total", help: "x")
        _ = model.receive(process.report(), now: start)
        #expect(model.currentValues(now: start)["cacheHitRate"] == nil)
        hits.increment()
        misses.increment(by: 3.0)
        _ = model.receive(process.report(), key: "gateway", now: start + 1000)
        #expect(model.currentValues(now: start + 2000)["cacheHitRate"] == 0.25)
    }

    @Test("two live processes with one name are both shown")
    func duplicateNames() {
        var model = ClusterModel()
        var key: String?
        let first = ReportingProcess("gateway", "gateway")
        var second = first
        second.identity.processID = 43
        second.identity.address = "10.0.0.2:8080"
        key = model.receive(first.report(), now: start)
        #expect(key == "gateway")
        key = model.receive(second.report(), now: start)
        #expect(key == "gateway@10.0.0.2:8080")
        // After the first went away, its successor takes over the name.
        key = model.receive(second.report(), now: start + 60_000)
        #expect(key == "gateway")
    }

    @Test("a full table makes room from those that went away, and refuses when all are there")
    func boundedTable() {
        var limits = MonitorLimits()
        limits.memberCount = 3
        var model = ClusterModel(limits: limits)
        var key: String?
        for index in 0..<3 { _ = model.receive(ReportingProcess("store", "s\(index)").report(), now: start) }
        key = model.receive(ReportingProcess("store", "s3").report(), now: start)
        #expect(key == nil)
        _ = model.receive(ReportingProcess("store", "s1").report(), key: "s1", now: start + 5000)
        key = model.receive(ReportingProcess("store", "s3").report(), now: start + 5000)
        #expect(key == "s3")
        #expect(model.members.count == 3)
        #expect(model.members["s1"] != nil)
    }

    @Test("oversized and malformed reports are cut, not stored")
    func hostileReports() throws {
        var process = ReportingProcess("store", "store")
        process.identity.address = String(repeating: "ü", count: 100_000)
        for index in 0..<1000 { process.identity.attributes["k\(index)"] = String(repeating: "v", count: 10_000) }
        process.health = .init(serving: false, reason: String(repeating: "r", count: 100_000))
        var report = process.report()
        for index in 0..<5000 {
            var metric = Fathom_Monitor_V1_Metric()
            metric.name = index % 2 == 0 ? "m\(index)" : "bad name \(index)\n"
            metric.gauge = .nan
            metric.help = String(repeating: "h", count: 10_000)
            report.metrics.metrics.append(metric)
        }
        var model = ClusterModel()
        let received = model.receive(report, now: start)
        let key = try #require(received)
        let member = try #require(model.members[key])
        #expect(member.identity.address.utf8.count <= 310)
        #expect(member.identity.attributes.count <= model.limits.attributeCount)
        #expect(member.identity.attributes.values.allSatisfy { $0.utf8.count <= 310 })
        #expect(member.health.reason.utf8.count <= 310)
        #expect(member.samples.count <= model.limits.metricsPerReport)
        #expect(member.samples.allSatisfy { $0.help.utf8.count <= 310 })
        #expect(member.history.names.count <= 96)
    }

    @Test("the member's own history has at most one row a second")
    func memberHistory() throws {
        var model = ClusterModel()
        let process = ReportingProcess("store", "store")
        let gauge = process.registry.gauge("fathom_store_documents", help: "x")
        for step in 0..<100 {
            gauge.set(step)
            _ = model.receive(process.report(), key: step == 0 ? nil : "store", now: start + Int64(step) * 100)
        }
        let rows = try #require(model.members["store"]).history.rows()
        #expect(rows.names == ["fathom_store_documents"])
        #expect((10...12).contains(rows.times.count))
    }
}
