import Wire

/// Methods of `fathom.monitor.v1.Monitor`; proto/fathom/monitor/v1/monitor.proto says what each does.
package enum MonitorService {
    package static let report = RPCMethod<Fathom_Monitor_V1_ServiceReport, Fathom_Monitor_V1_ReportAcknowledgement>(
        "fathom.monitor.v1.Monitor/Report", .bidirectional)
    package static let getCluster = RPCMethod<Fathom_Monitor_V1_GetClusterRequest, Fathom_Monitor_V1_Cluster>(
        "fathom.monitor.v1.Monitor/GetCluster", .unary)

    /// Name and shape of every method.
    package static let methods: [MethodDescription] = [MethodDescription(report), MethodDescription(getCluster)]
}
