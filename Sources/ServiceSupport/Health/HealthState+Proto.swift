import WireProtocols

extension HealthState.Health {
    /// The wire form.
    package func proto() -> Fathom_Monitor_V1_HealthCheckResponse {
        .with {
            $0.status = serving ? .serving : .notServing
            $0.reason = reason
        }
    }

    /// What another process said about itself; an unspecified status counts as not serving.
    package init(proto: Fathom_Monitor_V1_HealthCheckResponse) {
        self.init(serving: proto.status == .serving, reason: proto.reason)
    }
}
