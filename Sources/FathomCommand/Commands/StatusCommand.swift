import ArgumentParser
import Foundation
import Logging
import NIOCore
import Wire
import WireProtocols

/// `fathom status`.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Shows the processes of a cluster; exit status 1 when it is not ready.")

    @OptionGroup var home: HomeOptions

    @Flag(help: "Print JSON.")
    var json = false

    func run() async throws {
        let cluster = try ClusterFile.load(home.directory)
        let report = try await ClusterReport.make(cluster)
        if json {
            try Terminal.json(report)
        } else {
            Terminal.write(report.text)
        }
        if !report.ready { throw ExitCode(1) }
    }
}

/// What `fathom status` found out.
struct ClusterReport: Encodable, Sendable {
    struct Process: Encodable, Sendable {
        var name: String
        var pid: Int32
        var address: String
        var restarts: Int
        /// "serving", "not serving", "no answer".
        var health: String
        var reason: String
    }

    struct Stage: Encodable, Sendable {
        var index: Int
        /// `start..<end`.
        var layers: String
        var address: String
        var linked: Bool
        var weightBytes: UInt64

        enum CodingKeys: String, CodingKey {
            case index, layers, address, linked
            case weightBytes = "weight_bytes"
        }
    }

    struct Model: Encodable, Sendable {
        var name: String
        /// "loaded", "loading", "not loaded", "unloading", "failed"; "unknown" while the head does not answer.
        var state: String
        /// What it counts against the memory budget while it is loaded.
        var bytes: UInt64
        var runningSequences: Int
        var waitingSequences: Int
        var problem: String

        enum CodingKeys: String, CodingKey {
            case name, state, bytes, problem
            case runningSequences = "running_sequences"
            case waitingSequences = "waiting_sequences"
        }

        /// One of which nothing is known but the name.
        init(unknown name: String) {
            self.name = name
            (state, bytes, runningSequences, waitingSequences, problem) = ("unknown", 0, 0, 0, "")
        }

        init(_ description: Fathom_Shard_V1_ModelDescription) {
            name = description.name
            state =
                switch description.state {
                case .ready: "loaded"
                case .loading: "loading"
                case .evicting: "unloading"
                case .failed: "failed"
                case .absent, .unspecified, .UNRECOGNIZED: "not loaded"
                }
            bytes = description.bytes
            runningSequences = Int(description.runningSequences)
            waitingSequences = Int(description.waitingSequences)
            problem = description.problem
        }
    }

    var ready: Bool
    var model: String
    var gatewayURL: String?
    var monitorURL: String?
    var processes: [Process]
    /// Of the first loaded model.
    var stages: [Stage]
    /// What can be asked for, loaded or not.
    var models: [Model] = []
    /// The store's encoder; nil where there is no store.
    var encoder: String?
    /// 0: no bound.
    var memoryBudget: UInt64 = 0
    var runningSequences: Int
    var waitingSequences: Int
    var kvBlocksUsed: Int
    var kvBlocksTotal: Int

    enum CodingKeys: String, CodingKey {
        case ready, model, models, encoder, processes, stages
        case memoryBudget = "memory_budget_bytes"
        case gatewayURL = "gateway_url"
        case monitorURL = "monitor_url"
        case runningSequences = "running_sequences"
        case waitingSequences = "waiting_sequences"
        case kvBlocksUsed = "kv_cache_blocks_used"
        case kvBlocksTotal = "kv_cache_blocks_total"
    }

    /// Asks every process; each has two seconds to answer.
    static func make(_ cluster: ClusterFile) async throws -> ClusterReport {
        let logger = Logger(label: "fathom", factory: { _ in SwiftLogNoOpLogHandler() })
        var processes: [Process] = []
        var isReady = cluster.gatewayURL == nil
        for member in cluster.processes {
            var process = Process(
                name: member.name, pid: member.pid, address: member.address, restarts: member.restarts,
                health: "no answer", reason: "")
            if member.kind == "gateway" {
                let answer = try await GatewayClient.with(baseURL: "http://" + member.address, apiKey: nil) {
                    await $0.answer(of: "/readyz")
                }
                isReady = answer?.status == 200
                process.health = answer == nil ? "no answer" : isReady ? "serving" : "not serving"
                process.reason = isReady ? "" : answer.flatMap { Readiness.reason(in: $0.body) } ?? ""
            } else {
                (process.health, process.reason) = await HealthProbe.check(
                    host: member.host, port: member.port, timeout: .seconds(2), logger: logger)
            }
            processes.append(process)
        }
        var report = ClusterReport(
            ready: isReady && processes.allSatisfy { $0.health == "serving" }, model: cluster.model,
            gatewayURL: cluster.gatewayURL, monitorURL: cluster.monitorURL, processes: processes, stages: [],
            runningSequences: 0, waitingSequences: 0, kvBlocksUsed: 0, kvBlocksTotal: 0)
        report.encoder = cluster.encoder
        // What the head says replaces these; while it does not answer, they are named all the same.
        report.models = cluster.models.map { Model(unknown: $0) }
        if let head = cluster.processes.first(where: { $0.name == "shard-0" }) {
            await report.describe(head, logger: logger)
        }
        return report
    }

    private mutating func describe(_ head: ClusterFile.Member, logger: Logger) async {
        let client = WireClient(target: .address(host: head.host, port: head.port), logger: logger)
        let options = CallOptions(timeout: .seconds(2))
        if let answer = try? await client.unary(InferenceService.describe, .init(), options: options) {
            stages = answer.stages.map {
                Stage(
                    index: Int($0.index), layers: "\($0.layerStart)..<\($0.layerEnd)", address: $0.address,
                    linked: $0.linked, weightBytes: $0.weightBytes)
            }
            models = answer.models.map(Model.init)
            memoryBudget = answer.memoryBudgetBytes
            runningSequences = Int(answer.runningSequences)
            waitingSequences = Int(answer.waitingSequences)
            kvBlocksUsed = Int(answer.kvCacheBlocksUsed)
            kvBlocksTotal = Int(answer.kvCacheBlocksTotal)
            ready = ready && answer.serving
        }
        await client.close()
    }

    var text: String {
        var table = TextTable(header: ["PROCESS", "PID", "ADDRESS", "RESTARTS", "HEALTH"])
        for process in processes {
            let reason = process.reason.isEmpty ? "" : " (\(process.reason))"
            table.add([
                process.name, String(process.pid), process.address, String(process.restarts), process.health + reason,
            ])
        }
        var text = table.text
        if !stages.isEmpty {
            var table = TextTable(header: ["STAGE", "LAYERS", "WEIGHTS", "LINKED"])
            for stage in stages {
                table.add([
                    String(stage.index), stage.layers, ByteText.format(Int64(stage.weightBytes)),
                    stage.linked ? "yes" : "no",
                ])
            }
            text += "\n" + table.text
            text += "\nsequences: \(runningSequences) running, \(waitingSequences) waiting; "
            text += "KV cache: \(kvBlocksUsed) of \(kvBlocksTotal) blocks\n"
        }
        var modelTable = TextTable(header: ["MODEL", "STATE", "MEMORY", "RUNNING", "WAITING"])
        for model in models {
            let problem = model.problem.isEmpty ? "" : " (\(model.problem))"
            modelTable.add([
                model.name, model.state + problem, ByteText.format(Int64(clamping: model.bytes)),
                String(model.runningSequences), String(model.waitingSequences),
            ])
        }
        text += "\n" + modelTable.text
        if let encoder { text += "encoder: \(encoder)\n" }
        if memoryBudget > 0 { text += "memory budget: \(ByteText.format(Int64(clamping: memoryBudget)))\n" }
        text += "\n"
        if let gatewayURL { text += "API:   \(gatewayURL)/v1\n" }
        if let monitorURL { text += "page:  \(monitorURL)\n" }
        return text + (ready ? "ready\n" : "not ready\n")
    }
}

/// What `/readyz` of a gateway says.
private struct Readiness: Decodable {
    struct Parts: Decodable {
        struct Inference: Decodable {
            var reason: String?
        }
        var inference: Inference?
    }
    var parts: Parts?

    /// Why the cluster is not ready; nil where the answer does not say.
    static func reason(in body: ByteBuffer) -> String? {
        (try? JSONDecoder().decode(Readiness.self, from: Data(body.readableBytesView)))?.parts?.inference?.reason
    }
}

/// Asks a process how it is.
enum HealthProbe {
    /// - Parameter tls: nil: plaintext.
    /// - Returns: "serving", "not serving" or "no answer", and why.
    static func check(
        host: String, port: Int, tls: WireTLSConfiguration? = nil, timeout: Duration, logger: Logger
    ) async -> (health: String, reason: String) {
        var configuration = WireClientConfiguration(connectTimeout: timeout)
        configuration.tls = tls
        let client = WireClient(
            target: .address(host: host, port: port), configuration: configuration, logger: logger)
        let result: (String, String)
        do {
            let answer = try await client.unary(HealthService.check, .init(), options: CallOptions(timeout: timeout))
            result = answer.status == .serving ? ("serving", answer.reason) : ("not serving", answer.reason)
        } catch {
            result = ("no answer", (error as? RPCError)?.message ?? "")
        }
        await client.close()
        return result
    }
}

/// Sizes for people.
enum ByteText {
    static func format(_ bytes: Int64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(bytes)
        var unit = 0
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return unit == 0 ? "\(bytes) B" : String(format: "%.1f %@", value, units[unit] as NSString)
    }
}
