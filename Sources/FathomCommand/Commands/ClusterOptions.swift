import ArgumentParser
import Foundation

/// Which home; for commands that need the files of a cluster on this machine.
struct HomeOptions: ParsableArguments {
    @Option(help: "Folder of the cluster (default: $FATHOM_HOME, else ~/.fathom/home).")
    var home: String?

    var directory: HomeDirectory { HomeDirectory.resolve(home) }
}

/// Which gateway; for commands that work against a cluster anywhere.
struct GatewayOptions: ParsableArguments {
    @OptionGroup var home: HomeOptions

    @Option(help: "Gateway to use, http://HOST:PORT (default: $FATHOM_URL, else the cluster of --home).")
    var url: String?

    @Option(help: "API key (default: $FATHOM_API_KEY, else that of --home).")
    var key: String?

    @Option(help: "Model to ask (default: the first text model the gateway lists).")
    var model: String?

    /// Runs `body` with a client and the name of the model.
    func withGateway<Result>(
        connections: Int = 8, _ body: (GatewayClient, String) async throws -> Result
    ) async throws -> Result {
        let environment = ProcessInfo.processInfo.environment
        var url = url ?? environment["FATHOM_URL"]
        var key = key ?? environment["FATHOM_API_KEY"]
        var model = model
        if url == nil {
            let cluster = try ClusterFile.load(home.directory)
            guard let gateway = cluster.gatewayURL else {
                throw CommandError(.notRunning, "the cluster of \(home.directory.path) has no gateway")
            }
            url = gateway
            key = key ?? cluster.apiKey
            model = model ?? cluster.model
        }
        return try await GatewayClient.with(baseURL: url ?? "", apiKey: key, connections: connections) { client in
            guard let model else {
                let models: ListObject<ObjectID> = try await client.get("/v1/models")
                guard let first = models.data.first else {
                    throw CommandError(.requestFailed, "the gateway lists no model; is it ready?")
                }
                return try await body(client, first.id)
            }
            return try await body(client, model)
        }
    }
}
