import Wire

/// Methods of `fathom.monitor.v1.Health`, which every service answers.
package enum HealthService {
    package static let check = RPCMethod<Fathom_Monitor_V1_HealthCheckRequest, Fathom_Monitor_V1_HealthCheckResponse>(
        "fathom.monitor.v1.Health/Check", .unary)

    /// Name and shape of every method.
    package static let methods: [MethodDescription] = [MethodDescription(check)]
}
