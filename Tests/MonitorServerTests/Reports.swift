import MonitorServer
import ServiceSupport
import WireProtocols

/// A process that reports to the monitor, with real metrics, made for tests.
struct ReportingProcess {
    let registry = MetricsRegistry()
    var identity = Fathom_Monitor_V1_ServiceIdentity()
    var health = HealthState.Health(serving: true)

    init(_ kind: String, _ instance: String, stage: Int? = nil, stages: Int? = nil) {
        identity.kind = kind
        identity.instance = instance
        identity.address = "127.0.0.1:\(7000 + abs(instance.utf8.reduce(0) { $0 + Int($1) }))"
        identity.processID = 42
        identity.startedAt = 1000
        if let stage { identity.attributes["stage.index"] = "\(stage)" }
        if let stages { identity.attributes["stage.count"] = "\(stages)" }
    }

    func report() -> Fathom_Monitor_V1_ServiceReport {
        var report = Fathom_Monitor_V1_ServiceReport()
        report.identity = identity
        report.health = health.proto()
        report.metrics = registry.snapshot()
        return report
    }
}

extension ClusterModel {
    /// A model of which every given process has reported once, at `now`.
    init(_ processes: [ReportingProcess], now: Int64) {
        self.init()
        for process in processes { _ = receive(process.report(), now: now) }
    }

    /// gateway, two stages, store, monitor: everything that a cluster needs.
    static var complete: [ReportingProcess] {
        [
            ReportingProcess("gateway", "gateway"), ReportingProcess("shard", "shard-0", stage: 0, stages: 2),
            ReportingProcess("shard", "shard-1", stage: 1, stages: 2), ReportingProcess("store", "store"),
            ReportingProcess("monitor", "monitor"),
        ]
    }
}
