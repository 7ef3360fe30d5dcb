import Foundation
import ServiceSupport
import WireProtocols

/// One process as the monitor knows it: what it last said, and the recent past of its numbers.
package struct ClusterMember: Sendable {
    /// What a person should think of the member.
    package enum State: String, Sendable {
        /// Reports and serves.
        case serving
        /// Reports, and says that it does not serve.
        case notServing
        /// Said that it was shutting down, then went away: nothing is wrong with that.
        case stopped
        /// Went away without a word.
        case offline
    }

    /// Unique in the table.
    package let key: String
    package var identity: Fathom_Monitor_V1_ServiceIdentity
    package var health: HealthState.Health
    /// Its last metrics.
    package var samples: [MetricSample] = []
    /// When it last reported, by the monitor's clock.
    package var lastReportMilliseconds: Int64
    /// Past of its counters and gauges.
    package var history = SampleHistory()
    /// Whether its stream of reports broke: offline at once, without waiting for intervals to pass.
    package var isDisconnected = false

    /// Processor seconds per second over the last reports.
    package var processorUse = Double.nan

    /// The member's state at `now`.
    package func state(now: Int64, limits: MonitorLimits) -> State {
        let silence = now - lastReportMilliseconds
        if silence < limits.intervalMilliseconds * limits.missedIntervals, !isDisconnected {
            return health.serving ? .serving : .notServing
        }
        return health.reason == "shutting down" ? .stopped : .offline
    }

    /// Whether the member reports at all.
    package func isOnline(now: Int64, limits: MonitorLimits) -> Bool {
        switch state(now: now, limits: limits) {
        case .serving, .notServing: true
        case .stopped, .offline: false
        }
    }

    /// Position in the pipeline; nil for what is not a shard.
    package var stageIndex: Int? {
        identity.attributes["stage.index"].flatMap { Int($0) }
    }

    /// Number of stages of the pipeline it belongs to.
    package var stageCount: Int? {
        identity.attributes["stage.count"].flatMap { Int($0) }
    }

    /// Whether it heads a pipeline: tokens, queue and steps of a replica group are counted there.
    package var isHead: Bool {
        identity.kind == "shard" && (stageIndex ?? 0) == 0
    }

    /// The sum of a metric over its label combinations; nil when it has none.
    package func total(_ name: String) -> Double? {
        let values = samples.filter { $0.name == name }.compactMap(\.value.number)
        return values.isEmpty ? nil : values.reduce(0, +)
    }
}
