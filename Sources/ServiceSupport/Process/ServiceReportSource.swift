import Foundation
import WireProtocols

/// Makes the reports of one process from its living parts.
package struct ServiceReportSource: Sendable {
    private let identity: ServiceIdentity
    private let health: HealthState
    private let metrics: MetricsRegistry

    package init(identity: ServiceIdentity, health: HealthState, metrics: MetricsRegistry) {
        self.identity = identity
        self.health = health
        self.metrics = metrics
    }

    /// The report as of now.
    package func report(at time: Date = Date()) -> Fathom_Monitor_V1_ServiceReport {
        var report = Fathom_Monitor_V1_ServiceReport()
        report.identity = identity.proto()
        report.health = health.current.proto()
        report.metrics = metrics.snapshot()
        report.timeUnixMilliseconds = UInt64(max(0, time.timeIntervalSince1970 * 1000))
        return report
    }
}
