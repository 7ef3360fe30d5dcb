import ServiceSupport
import WireProtocols

/// The state of the cluster in words, for the person who was woken up: one headline, then what is wrong, worst first,
/// each with what it means.
package struct ClusterStatus: Sendable, Equatable {
    /// How bad it is.
    package enum Level: String, Sendable, Comparable {
        /// Everything works.
        case ok
        /// Requests are served, something needs a look.
        case warning
        /// Requests are not served.
        case critical

        package static func < (left: Level, right: Level) -> Bool {
            left.rank < right.rank
        }

        private var rank: Int {
            switch self {
            case .ok: 0
            case .warning: 1
            case .critical: 2
            }
        }
    }

    /// One thing that is wrong.
    package struct Problem: Sendable, Equatable {
        package var level: Level
        package var text: String
    }

    package var level: Level
    package var headline: String
    package var problems: [Problem]

    /// Judges the cluster at `now`.
    package init(_ model: ClusterModel, now: Int64) {
        var problems = Self.memberProblems(model, now: now)
        problems += Self.roleProblems(model, now: now)
        problems += Self.loadProblems(model, now: now)
        problems.sort { $0.level > $1.level }
        self.problems = problems
        level = problems.map(\.level).max() ?? .ok
        let serving = model.members.values.count { $0.state(now: now, limits: model.limits) == .serving }
        switch level {
        case .ok: headline = "All \(serving) services are up."
        case .warning:
            headline =
                "Serving, but \(problems.count == 1 ? "one thing needs" : "\(problems.count) things need") a look."
        case .critical: headline = "Requests are not being served."
        }
    }

    /// What single members say, or do not say any more.
    private static func memberProblems(_ model: ClusterModel, now: Int64) -> [Problem] {
        model.members.values.sorted { $0.key < $1.key }.compactMap { member in
            let silence = duration(milliseconds: now - member.lastReportMilliseconds)
            switch member.state(now: now, limits: model.limits) {
            case .serving, .stopped: return nil
            case .offline:
                let place = member.identity.address.isEmpty ? "" : " at \(member.identity.address)"
                return Problem(
                    level: .warning,
                    text: "\(describe(member)) has not reported for \(silence). The process\(place) died, hangs, or "
                        + "cannot reach the monitor.")
            case .notServing:
                let reason = member.health.reason.isEmpty ? "it gives no reason" : member.health.reason
                return Problem(level: .warning, text: "\(describe(member)) is up but does not serve: \(reason).")
            }
        }
    }

    /// Roles that nobody fills.
    private static func roleProblems(_ model: ClusterModel, now: Int64) -> [Problem] {
        let members = Array(model.members.values)
        let serving = members.filter { $0.state(now: now, limits: model.limits) == .serving }
        var problems: [Problem] = []
        func missing(_ kind: String, _ consequence: String, level: Level) {
            guard !serving.contains(where: { $0.identity.kind == kind }) else { return }
            let known = members.contains { $0.identity.kind == kind }
            let text = known ? "No \(kind) is serving: \(consequence)." : "No \(kind) has reported yet: \(consequence)."
            problems.append(Problem(level: level, text: text))
        }
        missing("gateway", "applications cannot reach the cluster", level: .critical)
        missing("store", "documents and search are unavailable, answers have no sources", level: .warning)
        let shards = serving.filter { $0.identity.kind == "shard" }
        let stageCount = members.filter { $0.identity.kind == "shard" }.compactMap(\.stageCount).max() ?? 1
        if shards.isEmpty {
            missing("shard", "no text can be generated", level: .critical)
        } else {
            let present = Set(shards.map { $0.stageIndex ?? 0 })
            // A stage count is what a stranger reported: look at no more stages than there can be members.
            for stage in 0..<min(max(stageCount, 1), model.limits.memberCount) where !present.contains(stage) {
                problems.append(
                    Problem(
                        level: .critical,
                        text: "Stage \(stage) of the pipeline (\(stageCount) stages) has no serving shard: no text can "
                            + "be generated."))
            }
        }
        return problems
    }

    /// Numbers that need a look although everybody is up.
    private static func loadProblems(_ model: ClusterModel, now: Int64) -> [Problem] {
        let values = model.currentValues(now: now)
        var problems: [Problem] = []
        let errors = model.errorsInLastMinute(now: now)
        if errors > 0 {
            problems.append(
                Problem(
                    level: .warning,
                    text:
                        "\(errors) request\(errors == 1 ? "" : "s") failed inside the cluster (status 5xx) in the last "
                        + "minute."))
        }
        if let use = values[ClusterSeries.kvCacheUse.rawValue], use > 0.95 {
            problems.append(
                Problem(
                    level: .warning,
                    text: "The KV cache is \(Int(use * 100)) % full: long requests are preempted and computed again."))
        }
        if let waiting = values[ClusterSeries.waiting.rawValue], let running = values[ClusterSeries.running.rawValue],
            waiting > max(8, 2 * running)
        {
            problems.append(
                Problem(
                    level: .warning,
                    text: "\(Int(waiting)) requests wait while \(Int(running)) run: more is asked than the shards can "
                        + "do."))
        }
        for member in model.members.values.sorted(by: { $0.key < $1.key }) {
            guard member.isOnline(now: now, limits: model.limits), let open = member.total("process_open_fds"),
                let most = member.total("process_max_fds"), most > 0, open > 0.9 * most
            else { continue }
            problems.append(
                Problem(
                    level: .warning,
                    text: "\(describe(member)) has \(Int(open)) of \(Int(most)) file descriptors open."))
        }
        return problems
    }

    /// "shard-1 (stage 1, layers 15..<30)".
    private static func describe(_ member: ClusterMember) -> String {
        var facts: [String] = []
        if let stage = member.stageIndex { facts.append("stage \(stage)") }
        if let layers = member.identity.attributes["layers"] { facts.append("layers \(layers)") }
        return facts.isEmpty ? member.key : "\(member.key) (\(facts.joined(separator: ", ")))"
    }

    /// "12 s", "3 min", "2 h".
    static func duration(milliseconds: Int64) -> String {
        let seconds = max(0, milliseconds) / 1000
        if seconds < 120 { return "\(seconds) s" }
        return seconds < 7200 ? "\(seconds / 60) min" : "\(seconds / 3600) h"
    }
}
