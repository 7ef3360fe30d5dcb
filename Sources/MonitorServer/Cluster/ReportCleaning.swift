import Foundation
import ServiceSupport
import WireProtocols

/// Cuts what another process sent to the monitor's limits and drops what is malformed. Nothing behind this point
/// needs to fear the size or form of a report.
struct ReportCleaning {
    let limits: MonitorLimits

    func identity(_ identity: Fathom_Monitor_V1_ServiceIdentity) -> Fathom_Monitor_V1_ServiceIdentity {
        var result = identity
        result.kind = text(identity.kind)
        result.instance = text(identity.instance)
        result.address = text(identity.address)
        result.version = text(identity.version)
        result.attributes = Dictionary(
            identity.attributes.sorted { $0.key < $1.key }.prefix(limits.attributeCount).map {
                (text($0.key), text($0.value))
            }, uniquingKeysWith: { first, _ in first })
        return result
    }

    func health(_ health: Fathom_Monitor_V1_HealthCheckResponse) -> HealthState.Health {
        var result = HealthState.Health(proto: health)
        result.reason = text(result.reason)
        return result
    }

    func samples(_ metrics: [Fathom_Monitor_V1_Metric]) -> [MetricSample] {
        metrics.prefix(limits.metricsPerReport).compactMap { metric in
            guard var sample = MetricSample(proto: metric) else { return nil }
            sample.help = text(sample.help)
            for index in sample.labels.indices {
                sample.labels[index].value = text(sample.labels[index].value)
            }
            return sample
        }
    }

    private func text(_ text: String) -> String {
        guard text.utf8.count > limits.textByteCount else { return text }
        // Decoding repairs a character that the cut went through.
        return String(decoding: text.utf8.prefix(limits.textByteCount), as: UTF8.self)
    }
}
