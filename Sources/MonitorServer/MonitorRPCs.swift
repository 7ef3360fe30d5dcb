import ServiceSupport
import Wire
import WireProtocols

/// Serves `fathom.monitor.v1.Monitor` from the state.
struct MonitorRPCs: Sendable {
    let state: ClusterState
    let limits: MonitorLimits

    func add(to router: inout RPCRouter) {
        router.bidirectional(MonitorService.report) { requests, writer, _ in
            try await receiveReports(requests, writer)
        }
        router.unary(MonitorService.getCluster) { _, _ in cluster() }
    }

    /// One member's stream. Each report is acknowledged with the interval; the end of the stream, however it comes,
    /// takes the member off line at once.
    private func receiveReports(
        _ requests: RPCRequests<Fathom_Monitor_V1_ServiceReport>,
        _ writer: RPCWriter<Fathom_Monitor_V1_ReportAcknowledgement>
    ) async throws {
        var acknowledgement = Fathom_Monitor_V1_ReportAcknowledgement()
        acknowledgement.intervalMilliseconds = UInt32(limits.intervalMilliseconds)
        var key: String?
        defer {
            if let key { state.disconnect(key) }
        }
        for try await request in requests {
            guard let received = state.receive(request.message, key: key) else {
                throw RPCError(
                    code: .resourceExhausted,
                    message: "the monitor shows \(limits.memberCount) members already, see max-members")
            }
            key = received
            try await writer.write(acknowledgement)
        }
    }

    private func cluster() -> Fathom_Monitor_V1_Cluster {
        state.read { model, now in
            var cluster = Fathom_Monitor_V1_Cluster()
            cluster.members = model.members.values.sorted { $0.key < $1.key }.map { member in
                var proto = Fathom_Monitor_V1_Member()
                proto.identity = member.identity
                proto.health = member.health.proto()
                proto.millisecondsSinceReport = UInt64(max(0, now - member.lastReportMilliseconds))
                proto.online = member.isOnline(now: now, limits: model.limits)
                return proto
            }
            return cluster
        }
    }
}
