import ServiceSupport
import WireProtocols

/// Everything the monitor knows, as a pure value: reports and the time come in, the table, the history and the
/// judgement come out. Time is unix milliseconds of the monitor's own clock; the clocks of others are not trusted.
package struct ClusterModel: Sendable {
    package let limits: MonitorLimits
    /// Every member, by its key.
    package private(set) var members: [String: ClusterMember] = [:]
    /// The series of the whole cluster, one row per tick; see ``ClusterSeries``.
    package private(set) var history = SampleHistory()

    /// Of each member: the last value of each counter and histogram that is followed, to see what was added.
    private var baselines: [String: [SeriesKey: MetricSample.Value]] = [:]
    private var counts: [ClusterCount: IncreaseWindow<Double>] = [:]
    private var latencies: [ClusterLatency: IncreaseWindow<HistogramSnapshot>] = [:]

    private struct SeriesKey: Hashable {
        let name: String
        let labels: [MetricSample.Label]
    }

    /// Seconds over which rates are measured: short, so that "now" means now, and long enough for several reports.
    private var rateSeconds: Int64 {
        min(Self.windowSeconds, max(5, 3 * limits.intervalMilliseconds / 1000))
    }

    /// Seconds over which percentiles and shares are measured: long enough to hold enough requests.
    static let windowSeconds: Int64 = 60

    package init(limits: MonitorLimits = MonitorLimits()) {
        self.limits = limits
        for count in ClusterCount.allCases {
            counts[count] = IncreaseWindow(windowSeconds: Self.windowSeconds, combine: +)
        }
        for latency in ClusterLatency.allCases {
            // Bounds differ only between versions; while both run, the newer observations are shown.
            latencies[latency] = IncreaseWindow(windowSeconds: Self.windowSeconds) { $0.merged(with: $1) ?? $1 }
        }
        for series in ClusterSeries.allCases { history.addColumn(series.rawValue, .mean) }
    }

    /// Takes in one report.
    ///
    /// - Parameter key: what this returned for the stream's previous report; nil for the first.
    /// - Returns: the member's key; nil when the table is full of members that are online.
    package mutating func receive(
        _ report: Fathom_Monitor_V1_ServiceReport, key previousKey: String? = nil, now: Int64
    ) -> String? {
        let cleaning = ReportCleaning(limits: limits)
        let identity = cleaning.identity(report.identity)
        guard let key = previousKey ?? makeKey(for: identity, now: now) else { return nil }
        let health = cleaning.health(report.health)
        // Taken out while it changes: the table's own copy would make every change copy an hour of history.
        var member =
            members.removeValue(forKey: key)
            ?? ClusterMember(key: key, identity: identity, health: health, lastReportMilliseconds: now)
        if member.identity.startedAt != identity.startedAt || member.identity.processID != identity.processID {
            // A new process under an old name counts from zero again.
            baselines[key] = nil
        }
        let elapsed = now - member.lastReportMilliseconds
        let samples = cleaning.samples(report.metrics.metrics)
        let processorSeconds = increase(of: "process_cpu_seconds_total", from: member.samples, to: samples)
        if let processorSeconds, elapsed > 0 { member.processorUse = processorSeconds * 1000 / Double(elapsed) }
        member.identity = identity
        member.health = health
        member.samples = samples
        member.lastReportMilliseconds = now
        member.isDisconnected = false
        record(samples, in: &member, now: now)
        follow(samples, of: member, now: now)
        members[key] = member
        return key
    }

    /// The member's stream ended: it is offline until it reports again.
    package mutating func disconnect(_ key: String) {
        members[key]?.isDisconnected = true
    }

    /// Once a second: forgets who is long gone and adds a row to the history of the cluster.
    package mutating func tick(now: Int64) {
        for (key, member) in members {
            let silence = now - member.lastReportMilliseconds
            let limit =
                switch member.state(now: now, limits: limits) {
                case .serving, .notServing, .offline: limits.offlineMilliseconds
                case .stopped: limits.stoppedMilliseconds
                }
            if silence > limit { forget(key) }
        }
        history.append(time: now, currentValues(now: now))
    }

    /// The present values of the cluster's series; what is unknown is missing.
    package func currentValues(now: Int64) -> [String: Double] {
        var values: [ClusterSeries: Double] = [:]
        let online = members.values.filter { $0.isOnline(now: now, limits: limits) }
        let heads = online.filter(\.isHead)
        func rate(_ count: ClusterCount) -> Double {
            (counts[count]?.total(last: rateSeconds, at: now) ?? 0) / Double(rateSeconds)
        }
        if !heads.isEmpty {
            values[.tokensPerSecond] = rate(.generatedTokens)
            values[.promptTokensPerSecond] = rate(.promptTokens)
            values[.running] = heads.compactMap { $0.total("fathom_shard_running_sequences") }.reduce(0, +)
            values[.waiting] = heads.compactMap { $0.total("fathom_shard_waiting_sequences") }.reduce(0, +)
        }
        if online.contains(where: { $0.identity.kind == "gateway" }) {
            values[.requestsPerSecond] = rate(.requests)
            values[.errorsPerSecond] = rate(.errors)
        }
        values[.kvCacheUse] = online.compactMap(\.kvCacheUse).max()
        let hits = counts[.cacheHits]?.total(last: Self.windowSeconds, at: now) ?? 0
        let misses = counts[.cacheMisses]?.total(last: Self.windowSeconds, at: now) ?? 0
        if hits + misses > 0 { values[.cacheHitRate] = hits / (hits + misses) }
        for latency in ClusterLatency.allCases {
            let observed = latencies[latency]?.total(last: Self.windowSeconds, at: now)
            for (series, quantile) in latency.percentiles {
                values[series] = observed?.quantile(quantile)
            }
        }
        return Dictionary(uniqueKeysWithValues: values.map { ($0.key.rawValue, $0.value) })
    }

    /// Requests that failed with a status of 500 and above within the last minute.
    package func errorsInLastMinute(now: Int64) -> Int {
        Int(counts[.errors]?.total(last: Self.windowSeconds, at: now) ?? 0)
    }

    // MARK: Table

    /// The name under which a process is kept: its instance, unless another live process uses that already.
    private mutating func makeKey(for identity: Fathom_Monitor_V1_ServiceIdentity, now: Int64) -> String? {
        var key = identity.instance.isEmpty ? identity.kind : identity.instance
        if let other = members[key], other.isOnline(now: now, limits: limits),
            other.identity.processID != identity.processID || other.identity.startedAt != identity.startedAt
                || other.identity.address != identity.address
        {
            key += "@\(identity.address.isEmpty ? "pid \(identity.processID)" : identity.address)"
        }
        guard members[key] == nil, members.count >= limits.memberCount else { return key }
        let gone = members.values.filter { !$0.isOnline(now: now, limits: limits) }
        guard let oldest = gone.min(by: { $0.lastReportMilliseconds < $1.lastReportMilliseconds }) else { return nil }
        forget(oldest.key)
        return key
    }

    private mutating func forget(_ key: String) {
        members[key] = nil
        baselines[key] = nil
    }

    // MARK: Numbers

    /// Adds the counters and gauges to the member's own history, at most one row a second.
    private func record(_ samples: [MetricSample], in member: inout ClusterMember, now: Int64) {
        if let newest = member.history.newestTime, now - newest < 900 { return }
        var values: [String: Double] = [:]
        for sample in samples {
            guard let number = sample.value.number else { continue }
            let name = Self.columnName(of: sample)
            let aggregation: SampleHistory.Aggregation = sample.value.kind == "counter" ? .last : .mean
            if member.history.addColumn(name, aggregation) { values[name] = number }
        }
        member.history.append(time: now, values)
    }

    /// "name" or "name{label=value,…}".
    static func columnName(of sample: MetricSample) -> String {
        guard !sample.labels.isEmpty else { return sample.name }
        return sample.name + "{" + sample.labels.map { "\($0.name)=\($0.value)" }.joined(separator: ",") + "}"
    }

    /// Adds to the sliding windows what was added to the member's counters and histograms since its last report. The
    /// first report of a process only sets the mark: how long ago its past happened is unknown.
    private mutating func follow(_ samples: [MetricSample], of member: ClusterMember, now: Int64) {
        let before = baselines[member.key]
        var after: [SeriesKey: MetricSample.Value] = [:]
        for sample in samples {
            let latency = ClusterLatency(rawValue: sample.name)
            let counted = ClusterCount.counted(by: sample, of: member)
            guard latency != nil || !counted.isEmpty else { continue }
            let key = SeriesKey(name: sample.name, labels: sample.labels)
            after[key] = sample.value
            guard let before else { continue }
            switch sample.value {
            case .counter(let value), .gauge(let value):
                let amount = Self.increase(from: before[key]?.number ?? 0, to: value)
                guard amount > 0 else { continue }
                for count in counted { counts[count]?.add(amount, at: now) }
            case .histogram(let histogram):
                var earlier: HistogramSnapshot?
                if case .histogram(let snapshot) = before[key] { earlier = snapshot }
                let added = histogram.since(earlier)
                guard let latency, ClusterCount.isUserRequest(sample), added.count > 0 else { continue }
                latencies[latency]?.add(added, at: now)
            }
        }
        baselines[member.key] = after
    }

    /// What was added to a counter; after a restart it is the new value.
    private static func increase(from old: Double, to new: Double) -> Double {
        new >= old ? new - old : new
    }

    private func increase(of name: String, from old: [MetricSample], to new: [MetricSample]) -> Double? {
        guard let before = old.first(where: { $0.name == name })?.value.number,
            let after = new.first(where: { $0.name == name })?.value.number
        else { return nil }
        return Self.increase(from: before, to: after)
    }
}
