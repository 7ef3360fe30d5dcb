import ArgumentParser
import Dispatch
import Foundation
import ModelFiles
import ModelRegistry
import Transformer

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// `fathom up`.
struct UpCommand: AsyncParsableCommand {
    /// Longest wait from listening to a token through all stages.
    static let readyDeadline = Duration.seconds(180)

    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Starts a cluster on this machine and keeps it running.")

    @OptionGroup var home: HomeOptions

    @Flag(help: "Return when all is ready; end it with `fathom down`.")
    var detach = false

    @Option(help: "Pipeline stages to cut the model into, one process each.")
    var shards = 2

    @Option(help: "Compute threads of each shard and of the store (default: theirs).")
    var threads: Int?

    @Option(help: "Text model: an installed one, a GGUF file or a safetensors folder; or NAME=MODEL. Repeatable.")
    var model: [String] = []

    @Option(
        name: .customLong("memory-budget"), help: "What loaded models of a shard may take: 12GiB (default: no bound).")
    var memoryBudget: String?

    @Option(help: "Encoder of the store: the name of an installed one, or its folder.")
    var encoder = ModelCatalogue.defaultEncoder

    @Option(help: "What a file search shows the model: passages or sentences (default: sentences for a small model).")
    var evidence: String?

    @Option(name: .customLong("gateway-port"), help: "Port of the HTTP API; 0 takes any free one.")
    var gatewayPort = 0

    @Option(name: .customLong("monitor-port"), help: "Port of the monitor's page; 0 takes any free one.")
    var monitorPort = 0

    @Option(help: "Address that all processes listen on.")
    var host = "127.0.0.1"

    @Option(name: .customLong("log-level"), help: "trace, debug, info, notice, warning, error or critical.")
    var logLevel = "info"

    @Option(name: .customLong("shard-option"), help: "Further flag for every shard, as NAME=VALUE: kv-blocks=512.")
    var shardOptions: [String] = []

    @OptionGroup var verification: VerificationOptions

    func validate() throws {
        guard (1...ClusterPlan.maximumShards).contains(shards) else {
            throw ValidationError("--shards is \(shards); expected 1...\(ClusterPlan.maximumShards)")
        }
        if let threads, !(1...256).contains(threads) {
            throw ValidationError("--threads is \(threads); expected 1...256")
        }
        for model in model where model.isEmpty { throw ValidationError("--model is empty; expected a name or a file") }
        guard Self.logLevels.contains(logLevel) else {
            throw ValidationError("--log-level is \(logLevel); expected \(Self.logLevels.joined(separator: ", "))")
        }
        if let evidence, !["passages", "sentences"].contains(evidence) {
            throw ValidationError("--evidence is \(evidence); expected passages or sentences")
        }
        for port in [gatewayPort, monitorPort] where !(0...65_535).contains(port) {
            throw ValidationError("port \(port); expected 0...65535")
        }
    }

    private static let logLevels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]

    func run() async throws {
        let home = home.directory
        // Cancelled by Ctrl-C at any point, starting included.
        let interrupts = Interrupts()
        let settings = try makeSettings()
        try verification.check(
            settings.models.map { ($0.name, $0.path) } + [("the encoder \(encoder)", settings.encoderPath)])
        let starter = ClusterStarter(home: home, settings: settings, isTiedToUs: !detach) { Terminal.note("  \($0)") }
        Terminal.note(
            "Starting \(settings.models.map { TerminalText.line($0.name) }.joined(separator: ", ")) on \(shards) shard\(shards == 1 ? "" : "s") in \(home.path)"
        )
        guard let cluster = try await interrupts.orNil({ try await starter.start() }) else { return }
        do {
            let isReady: Void? = try await interrupts.orNil { try await waitUntilReady(cluster) }
            if isReady != nil {
                printSummary(cluster, home: home)
                guard !detach else { return }
                Terminal.note("Ctrl-C ends it.")
                try await interrupts.orNil { try await waitForEnd(of: cluster) }
            }
        } catch {
            await ClusterStopper.stop(supervisor: cluster.supervisor, home: home)
            throw error
        }
        Terminal.note("Stopping")
        await ClusterStopper.stop(supervisor: cluster.supervisor, home: home)
    }

    /// Returns only by throwing: a cluster is not meant to end by itself.
    private func waitForEnd(of cluster: ClusterFile) async throws {
        while cluster.supervisor.isRunning { try await Task.sleep(for: .milliseconds(200)) }
        throw CommandError(
            .startFailed,
            "the cluster has ended:\n" + LogTail.lines(of: home.directory.logFile("supervisor"), count: 8))
    }

    private func makeSettings() throws -> ClusterSettings {
        let registry = ModelRegistry.standard()
        let models: [ClusterSettings.Model]
        let encoderPath: String
        do {
            models = try Self.models(model.isEmpty ? [ModelCatalogue.defaultTextModel] : model, registry)
            encoderPath = try registry.encoder(encoder)
        } catch let error as ModelRegistryError {
            throw CommandError(.invalidArgument, error.message, cause: error)
        }
        var further = try shardOptions.flatMap { option in
            guard let equals = option.firstIndex(of: "="), equals > option.startIndex else {
                throw ValidationError("--shard-option \(option); expected NAME=VALUE")
            }
            return ["--\(option[..<equals])", String(option[option.index(after: equals)...])]
        }
        further += verification.shardArguments(absolute: Self.absolute)
        if let memoryBudget { further += ["--memory-budget", memoryBudget] }
        var settings = ClusterSettings(
            executableDirectory: ExecutablePath.directory(), shards: shards, threads: threads, models: models,
            encoderPath: Self.absolute(encoderPath), host: host, gatewayPort: gatewayPort, monitorPort: monitorPort,
            logLevel: logLevel, shardArguments: further)
        // One setting for the gateway: what the smallest model needs, the others can read as well.
        settings.evidence =
            evidence
            ?? (models.contains { Self.evidence(forModelAt: $0.path) == "sentences" } ? "sentences" : "passages")
        return settings
    }

    /// - Throws: ``ModelRegistryError`` `modelNotFound`; ``CommandError`` for two models of one name.
    private static func models(_ wanted: [String], _ registry: ModelRegistry) throws -> [ClusterSettings.Model] {
        var models: [ClusterSettings.Model] = []
        for text in wanted {
            let argument = ModelArgument(text)
            let file = try registry.textModel(argument.model)
            let model = ClusterSettings.Model(name: argument.name ?? file.name, path: absolute(file.path))
            if let problem = ModelArgument.problem(withName: model.name) {
                throw CommandError(
                    .invalidArgument,
                    "\(TerminalText.line(model.name)) cannot be a model's name: \(problem); "
                        + "choose one with --model NAME=MODEL")
            }
            guard !models.contains(where: { $0.name == model.name }) else {
                throw CommandError(
                    .invalidArgument,
                    "two models are called \(TerminalText.line(model.name)); name them apart with NAME=MODEL")
            }
            models.append(model)
        }
        return models
    }

    private static func absolute(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }

    /// Models below this many bytes are given the nearest sentences rather than whole passages.
    private static let smallModelByteCount = 512 << 20

    private static func evidence(forModelAt path: String) -> String {
        // Of all files, split ones included; a model that cannot be read is for the shards to refuse.
        let size = (try? ModelWeights(path: path))?.source.files.reduce(0) { $0 + $1.byteCount } ?? 0
        return size < smallModelByteCount ? "sentences" : "passages"
    }

    /// Waits until the gateway has seen a token come through all stages.
    private func waitUntilReady(_ cluster: ClusterFile) async throws {
        Terminal.note("  waiting for the first token through all stages")
        try await GatewayClient.with(baseURL: cluster.gatewayURL ?? "", apiKey: nil) { client in
            let deadline = ContinuousClock.now + Self.readyDeadline
            var reason: String?
            while ContinuousClock.now < deadline {
                let readiness = await client.readiness()
                if readiness?.isReady ?? false { return }
                reason = readiness?.reason ?? reason
                if readiness?.isHopeless ?? false {
                    throw CommandError(
                        .startFailed,
                        (reason ?? "no model can be used") + "; logs are in \(home.directory.logDirectory)")
                }
                guard cluster.supervisor.isRunning else {
                    throw CommandError(.startFailed, "the cluster ended while it became ready")
                }
                try await Task.sleep(for: .milliseconds(50))
            }
            throw CommandError(
                .timedOut,
                "the cluster was not ready within \(Self.readyDeadline)\(reason.map { " (\($0))" } ?? ""); its logs are in "
                    + home.directory.logDirectory
            )
        }
    }

    private func printSummary(_ cluster: ClusterFile, home: HomeDirectory) {
        Terminal.write(
            """
            Ready.
              API      \(cluster.gatewayURL ?? "-")/v1
              page     \(cluster.monitorURL ?? "-")
              model\(cluster.models.count == 1 ? " " : "s")   \(cluster.models.map(TerminalText.line).joined(separator: ", "))
              API key  \(home.plainKeyFile)
              logs     \(home.logDirectory)

            """)
    }
}
