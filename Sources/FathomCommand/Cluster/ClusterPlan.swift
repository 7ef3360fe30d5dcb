import Foundation

/// What `fathom up` was asked for; handed to the supervisor as a file.
package struct ClusterSettings: Codable, Sendable, Equatable {
    /// A text model to serve.
    package struct Model: Codable, Sendable, Equatable {
        /// What clients call it.
        package var name: String
        /// GGUF file, or folder of safetensors.
        package var path: String

        package init(name: String, path: String) {
            self.name = name
            self.path = path
        }
    }

    /// Folder of the service executables.
    package var executableDirectory: String
    /// Pipeline stages, 1...64.
    package var shards: Int
    /// Compute threads of each shard and of the store; nil leaves it to them.
    package var threads: Int?
    /// At least one; the first is the default of the tools.
    package var models: [Model]
    /// Folder of the store's encoder.
    package var encoderPath: String
    package var host: String
    /// 0: any free port.
    package var gatewayPort: Int
    /// Port of the monitor's page; 0: any free port.
    package var monitorPort: Int
    package var logLevel: String
    /// What a file search puts before the model, `passages` or `sentences`: see `services/gateway/gateway.yaml`.
    package var evidence = "passages"
    /// Further flags for every shard, such as `--kv-blocks 512`.
    package var shardArguments: [String]
    /// Start the shards and nothing else (`fathom bench engine --shards`).
    package var shardsOnly: Bool

    package init(
        executableDirectory: String, shards: Int = 2, threads: Int? = nil, models: [Model],
        encoderPath: String, host: String = "127.0.0.1", gatewayPort: Int = 0, monitorPort: Int = 0,
        logLevel: String = "info", shardArguments: [String] = [], shardsOnly: Bool = false
    ) {
        self.executableDirectory = executableDirectory
        self.shards = shards
        self.threads = threads
        precondition(!models.isEmpty, "a cluster serves at least one model")
        self.models = models
        self.encoderPath = encoderPath
        self.host = host
        self.gatewayPort = gatewayPort
        self.monitorPort = monitorPort
        self.logLevel = logLevel
        self.shardArguments = shardArguments
        self.shardsOnly = shardsOnly
    }
}

/// One process to run: what it needs to know before it starts, and its flags once that is known. A pure value.
package struct ProcessPlan: Sendable, Equatable {
    package var name: String
    package var kind: String
    package var executable: String
    /// Flags without addresses.
    package var arguments: [String]
    /// Flags whose value is the address of another process, by flag: `["--next": "shard-1"]`.
    package var addressFlags: [String: String]
    /// Port for the first start; 0 lets the system choose. A restart uses the port of the first start.
    package var port: Int
    /// The same for the page of the monitor.
    package var httpPort: Int?

    /// The whole command line.
    ///
    /// - Parameters:
    ///   - addresses: "host:port" of the processes that already listen, by name.
    ///   - port: Port to listen on.
    /// - Returns: nil while an address is missing.
    package func commandLine(
        addresses: [String: String], port: Int, httpPort: Int?, home: HomeDirectory
    ) -> [String]? {
        var line = arguments
        for (flag, name) in addressFlags.sorted(by: { $0.key < $1.key }) {
            guard let address = addresses[name] else { return nil }
            line += [flag, address]
        }
        line += ["--port", String(port), "--instance", name, "--ready-file", home.readyFile(name)]
        if let httpPort { line += ["--http-port", String(httpPort)] }
        return line
    }
}

/// The processes of a cluster, in the order in which people think of them.
package enum ClusterPlan {
    /// Most pipeline stages on one machine.
    package static let maximumShards = 64

    package static func processes(_ settings: ClusterSettings, home: HomeDirectory) -> [ProcessPlan] {
        let common = [
            "--host", settings.host, "--log-level", settings.logLevel, "--drain-timeout", "5s",
        ]
        let threads = settings.threads.map { ["--threads", String($0)] } ?? []
        let monitor: [String: String] = settings.shardsOnly ? [:] : ["--monitor": "monitor"]

        func plan(
            _ name: String, _ kind: String, _ arguments: [String], addresses: [String: String] = [:], port: Int = 0,
            httpPort: Int? = nil
        ) -> ProcessPlan {
            ProcessPlan(
                name: name, kind: kind, executable: "\(settings.executableDirectory)/fathom-\(kind)",
                arguments: common + arguments, addressFlags: addresses, port: port, httpPort: httpPort)
        }

        let shards = (0..<settings.shards).map { stage in
            var addresses = monitor
            if stage + 1 < settings.shards { addresses["--next"] = "shard-\(stage + 1)" }
            let arguments =
                settings.models.flatMap { ["--model", "\($0.name)=\($0.path)"] }
                + ["--stage", String(stage), "--stages", String(settings.shards)] + threads + settings.shardArguments
            return plan("shard-\(stage)", "shard", arguments, addresses: addresses)
        }
        if settings.shardsOnly { return shards }
        return [
            plan(
                "gateway", "gateway",
                ["--keys", home.keyFile, "--state", home.gatewayDirectory, "--evidence", settings.evidence],
                addresses: monitor.merging(["--inference": "shard-0", "--store": "store"]) { $1 },
                port: settings.gatewayPort)
        ] + shards + [
            plan(
                "store", "store", ["--data", home.storeDirectory, "--encoder", settings.encoderPath] + threads,
                addresses: monitor),
            plan("monitor", "monitor", [], httpPort: settings.monitorPort),
        ]
    }
}
