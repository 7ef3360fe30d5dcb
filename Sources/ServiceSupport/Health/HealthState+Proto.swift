import WireProtocols

extension HealthState.Health {
    /// The wire form.
    package func proto() -> Fathom_Monitor_V1_HealthCheckResponse {
        var response = Fathom_Monitor_V1_HealthCheckResponse()
        response.status = serving ? .serving : .notServing
        response.reason = reason
        return response
    }

    /// What another process said about itself; an unspecified status counts as not serving.
    package init(proto: Fathom_Monitor_V1_HealthCheckResponse) {
        self.init(serving: proto.status == .serving, reason: proto.reason)
    }
}
