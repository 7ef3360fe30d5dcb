import Logging
import ServiceLifecycle
import ServiceSupport

extension Gateway {
    /// The services of a gateway process, from its settings.
    ///
    /// - Throws: `ConfigurationError`, `IdentityError` or `GatewayError`, with a message for the operator.
    package static func services(_ process: ServiceProcess) throws -> [any Service] {
        let settings = process.configuration
        let configuration = try GatewayConfiguration(settings)
        guard let inference = try settings.target("inference") else {
            throw ConfigurationError(.missingValue, "--inference (or FATHOM_GATEWAY_INFERENCE) is needed: HOST:PORT")
        }
        let gateway = try Gateway(
            configuration,
            Dependencies(
                inference: process.makeWireClient(inference),
                store: try settings.target("store").map(process.makeWireClient), metrics: process.metrics,
                health: process.health, logger: process.logger))
        let probes: [any Service] = gateway.probeServer(settings).map { [$0] } ?? []
        return try probes
            + gateway.services { port in
                do {
                    try process.announceListening(host: configuration.host, port: port)
                } catch {
                    // Whoever waits for the file will give up; the gateway itself works.
                    process.logger.error("The ready file cannot be written", metadata: ["error": "\(error)"])
                }
            }
    }
}
