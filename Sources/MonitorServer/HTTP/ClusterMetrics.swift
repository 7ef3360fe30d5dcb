import ServiceSupport
import WireProtocols

/// The Prometheus text of the whole cluster: one scrape of the monitor sees everybody. Each series carries the labels
/// `member` and `kind` of the process that measured it. Not `instance`: that name is Prometheus' own, for the address it
/// scraped, and it would rename ours.
enum ClusterMetrics {
    /// Members that are not online are left out: their numbers are no longer true. `fathom_monitor_member_up` says so.
    static func text(_ model: ClusterModel, now: Int64, own: MetricsRegistry) -> String {
        let members = model.members.values.sorted { $0.key < $1.key }
        var samples = own.samples().filter { sample in
            // The monitor reports to itself like everybody else, so its process metrics come with the members.
            !members.contains { $0.identity.kind == "monitor" } || sample.name.hasPrefix("fathom_monitor_")
        }
        for member in members {
            let online = member.isOnline(now: now, limits: model.limits)
            let serving = member.state(now: now, limits: model.limits) == .serving
            let labels = identityLabels(member)
            samples.append(
                MetricSample(
                    name: "fathom_monitor_member_up", help: "1 while the process reports.", labels: labels,
                    value: .gauge(online ? 1 : 0)))
            samples.append(
                MetricSample(
                    name: "fathom_monitor_member_serving", help: "1 while the process says that it serves.",
                    labels: labels, value: .gauge(serving ? 1 : 0)))
            guard online else { continue }
            samples += member.samples.filter { !$0.name.hasPrefix("fathom_monitor_") }.map { labelled($0, labels) }
        }
        return PrometheusText.render(samples)
    }

    private static func identityLabels(_ member: ClusterMember) -> [MetricSample.Label] {
        [.init("member", member.key), .init("kind", member.identity.kind)]
    }

    /// As Prometheus itself does, a label of the process with the same name is kept under `exported_…`.
    private static func labelled(_ sample: MetricSample, _ labels: [MetricSample.Label]) -> MetricSample {
        var result = sample
        result.labels =
            labels
            + sample.labels.map { label in
                labels.contains { $0.name == label.name } ? .init("exported_\(label.name)", label.value) : label
            }
        return result
    }
}
