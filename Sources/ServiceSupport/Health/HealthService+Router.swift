import Wire
import WireProtocols

extension RPCRouter {
    /// Serves `fathom.monitor.v1.Health/Check` from `health`: the one route that is open without a principal.
    package mutating func addHealth(_ health: HealthState) {
        unary(HealthService.check) { _, _ in health.current.proto() }
    }
}
