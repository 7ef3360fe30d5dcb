import Foundation
import ServiceSupport
import WireProtocols

/// What `/api/cluster` answers: the table, the present numbers and the judgement. The page is drawn from it.
struct ClusterDocument: Encodable {
    struct Status: Encodable {
        struct Problem: Encodable {
            var level: String
            var text: String
        }

        /// "ok", "warning" or "critical".
        var level: String
        var headline: String
        var problems: [Problem]
    }

    struct Member: Encodable {
        var key: String
        var kind: String
        var instance: String
        var address: String
        /// "serving", "notServing", "stopped" or "offline".
        var state: String
        var reason: String
        var processID: UInt32
        var version: String
        var startedAt: UInt64
        var millisecondsSinceReport: Int64
        var attributes: [String: String]
        var stageIndex: Int?
        var stageCount: Int?
        var residentBytes: Double?
        /// Processor seconds per second.
        var processorUse: Double?
        var kvCacheUse: Double?
        var running: Double?
        var waiting: Double?
        var documents: Double?
        var chunks: Double?
        var activeStreams: Double?
    }

    /// Unix milliseconds of the monitor's clock.
    var time: Int64
    var version: String
    var status: Status
    var members: [Member]
    /// By ``ClusterSeries`` name; missing when unknown.
    var now: [String: Double]

    init(_ model: ClusterModel, now time: Int64) {
        let status = ClusterStatus(model, now: time)
        self.time = time
        version = FathomVersion.current
        self.status = Status(
            level: status.level.rawValue, headline: status.headline,
            problems: status.problems.map { .init(level: $0.level.rawValue, text: $0.text) })
        members = model.members.values.sorted(by: Self.isOrdered).map { Member($0, model, now: time) }
        now = model.currentValues(now: time).filter(\.value.isFinite)
    }

    /// The way a request goes: gateways, shards in pipeline order, stores, monitor.
    private static func isOrdered(_ left: ClusterMember, _ right: ClusterMember) -> Bool {
        func rank(_ member: ClusterMember) -> (Int, Int, String) {
            let kinds = ["gateway", "shard", "store", "monitor"]
            return (kinds.firstIndex(of: member.identity.kind) ?? kinds.count, member.stageIndex ?? 0, member.key)
        }
        return rank(left) < rank(right)
    }
}

extension ClusterDocument.Member {
    init(_ member: ClusterMember, _ model: ClusterModel, now: Int64) {
        key = member.key
        kind = member.identity.kind
        instance = member.identity.instance
        address = member.identity.address
        state = member.state(now: now, limits: model.limits).rawValue
        reason = member.health.reason
        processID = member.identity.processID
        version = member.identity.version
        startedAt = member.identity.startedAt
        millisecondsSinceReport = max(0, now - member.lastReportMilliseconds)
        attributes = member.identity.attributes
        stageIndex = member.stageIndex
        stageCount = member.stageCount
        // A number that is not finite has no JSON; to the page it is as unknown as a missing one.
        func known(_ value: Double?) -> Double? { value.flatMap { $0.isFinite ? $0 : nil } }
        residentBytes = known(member.total("process_resident_memory_bytes"))
        processorUse = known(member.processorUse)
        kvCacheUse = known(member.kvCacheUse)
        running = known(member.total("fathom_shard_running_sequences"))
        waiting = known(member.total("fathom_shard_waiting_sequences"))
        documents = known(member.total("fathom_store_documents"))
        chunks = known(member.total("fathom_store_chunks"))
        activeStreams = known(member.total("fathom_gateway_streams_active"))
    }
}
