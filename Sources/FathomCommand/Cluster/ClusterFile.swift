/// What `cluster.json` says: everything a tool needs to talk to the running cluster.
package struct ClusterFile: Codable, Sendable, Equatable {
    /// One process of the cluster.
    package struct Member: Codable, Sendable, Equatable {
        /// "gateway", "shard-0", "store", "monitor".
        package var name: String
        /// "gateway", "shard", "store", "monitor".
        package var kind: String
        package var pid: Int32
        package var startTicks: UInt64
        package var host: String
        /// HTTP for the gateway, wire for the others.
        package var port: Int
        /// Port of the page; the monitor only.
        package var httpPort: Int?
        /// Times it was started again.
        package var restarts: Int

        enum CodingKeys: String, CodingKey {
            case name, kind, pid, host, port, restarts
            case startTicks = "start_ticks"
            case httpPort = "http_port"
        }

        package var identity: ProcessIdentity { ProcessIdentity(pid: pid, startTicks: startTicks) }
        package var address: String { HostPort.format(host: host, port: port) }
    }

    package var version = 1
    /// "http://127.0.0.1:8080", without a trailing slash.
    package var gatewayURL: String?
    package var monitorURL: String?
    package var apiKey: String?
    package var tenant: String
    /// The first model, which tools ask unless told otherwise.
    package var model: String
    package var modelPath: String
    /// All of them.
    package var models: [String]
    /// The store's encoder; nil where there is no store.
    package var encoder: String?
    package var supervisor: ProcessIdentity
    package var processes: [Member]

    enum CodingKeys: String, CodingKey {
        case version, tenant, model, models, encoder, supervisor, processes
        case gatewayURL = "gateway_url"
        case monitorURL = "monitor_url"
        case apiKey = "api_key"
        case modelPath = "model_path"
    }

    package init(
        gatewayURL: String?, monitorURL: String?, apiKey: String?, tenant: String, model: String, modelPath: String,
        models: [String], encoder: String? = nil, supervisor: ProcessIdentity, processes: [Member]
    ) {
        self.gatewayURL = gatewayURL
        self.monitorURL = monitorURL
        self.apiKey = apiKey
        self.tenant = tenant
        self.model = model
        self.modelPath = modelPath
        self.models = models
        self.encoder = encoder
        self.supervisor = supervisor
        self.processes = processes
    }

    /// The file of a running cluster.
    ///
    /// - Throws: ``CommandError`` `notRunning`, saying how to start one; `fileUnavailable` for a home of another user.
    package static func load(_ home: HomeDirectory) throws -> ClusterFile {
        try home.checkOwner()
        guard let file = AtomicFile.read(ClusterFile.self, from: home.clusterFile) else {
            throw CommandError(
                .notRunning, "no cluster runs in \(home.path); start one with `fathom up --home \(home.path)`")
        }
        guard file.supervisor.isRunning else {
            throw CommandError(
                .notRunning,
                "the cluster of \(home.path) has ended without saying so; start it again with `fathom up --home \(home.path)`"
            )
        }
        return file
    }
}

/// "host:port", with brackets around IPv6.
package enum HostPort {
    package static func format(host: String, port: Int) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// Where a client on this machine reaches a server that listens on `host`.
    package static func reachable(_ host: String) -> String {
        switch host {
        case "0.0.0.0": "127.0.0.1"
        case "::": "::1"
        default: host
        }
    }
}
