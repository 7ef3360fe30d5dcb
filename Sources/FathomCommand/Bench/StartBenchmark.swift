import Foundation
import InferenceCore
import Kernels
import Logging
import ModelFiles
import ModelRegistry
import Transformer
import Wire
import WireProtocols

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Starts a shard again and again and times it from the first system call to the first token a client sees.
struct StartBenchmark: Sendable {
    /// The `fathom-shard` to start.
    let executable: String
    let model: (name: String, path: String)
    /// Further flags of the shard.
    let shardArguments: [String]
    let kvType: KeyValueType

    /// One start.
    struct Sample: Encodable, Sendable {
        /// From starting the process to its ready file.
        var secondsToListening: Double
        /// From starting the process to the first token of a short request.
        var secondsToFirstToken: Double
        /// Of the process after that token: what it holds, at most and now, and how much of that is its own memory and
        /// not pages of files.
        var peakResidentBytes: Int
        var residentBytes: Int
        var anonymousBytes: Int
        var weightBytes: Int
        /// What the KV cache may grow to.
        var kvBudgetBytes: Int

        /// Resident memory over weights and KV budget.
        var residentRatio: Double { Double(residentBytes) / Double(weightBytes + kvBudgetBytes) }

        enum CodingKeys: String, CodingKey {
            case secondsToListening = "seconds_to_listening"
            case secondsToFirstToken = "seconds_to_first_token"
            case peakResidentBytes = "peak_resident_bytes"
            case residentBytes = "resident_bytes"
            case anonymousBytes = "anonymous_bytes"
            case weightBytes = "weight_bytes"
            case kvBudgetBytes = "kv_budget_bytes"
        }
    }

    private static let patience = Duration.seconds(120)

    /// - Throws: ``CommandError`` `startFailed` with the end of its log when the shard ends, `timedOut`; `RPCError`.
    func sample() async throws -> Sample {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("fathom-start-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try readWholeModel()
        let spawner = ProcessSpawner(
            executable: executable,
            arguments: [
                "--model", "\(model.name)=\(model.path)", "--port", "0", "--kv-type", kvType.rawValue,
                "--ready-file", folder + "/ready",
            ] + shardArguments, logPath: folder + "/log", hasOwnGroup: true)
        let start = ContinuousClock.now
        let pid = try spawner.spawn()
        do {
            let sample = try await measure(pid, since: start, folder: folder)
            kill(pid, SIGTERM)
            _ = await ProcessSpawner.wait(for: pid)
            return sample
        } catch {
            kill(pid, SIGKILL)
            _ = await ProcessSpawner.wait(for: pid)
            throw error
        }
    }

    /// Warms the page cache, whatever was there before.
    private func readWholeModel() throws {
        guard let file = FileHandle(forReadingAtPath: model.path) else {
            throw CommandError(.fileUnavailable, "cannot read \(model.path)")
        }
        defer { try? file.close() }
        while let part = try file.read(upToCount: 4 << 20), !part.isEmpty {}
    }

    private func measure(
        _ pid: pid_t, since start: ContinuousClock.Instant, folder: String
    ) async throws -> Sample {
        let ready = try await waitUntilReady(pid, since: start, folder: folder)
        let listening = start.duration(to: .now)
        let logger = Logger(label: "fathom", factory: { _ in SwiftLogNoOpLogHandler() })
        let client = WireClient(target: .address(host: ready.host, port: ready.port), logger: logger)
        do {
            try await firstToken(client)
            let token = start.duration(to: .now)
            let description = try await client.unary(InferenceService.describe, .init())
            await client.close()
            return try sample(pid, listening: listening, token: token, description)
        } catch {
            await client.close()
            throw error
        }
    }

    private func waitUntilReady(
        _ pid: pid_t, since start: ContinuousClock.Instant, folder: String
    ) async throws -> ReadyAnnouncement {
        while start.duration(to: .now) < Self.patience {
            if let ready = AtomicFile.read(ReadyAnnouncement.self, from: folder + "/ready") { return ready }
            // Not awaited: `sample` does that, also of one that has ended.
            var information = siginfo_t()
            if waitid(P_PID, id_t(pid), &information, WEXITED | WNOHANG | WNOWAIT) == 0, information.si_signo != 0 {
                let log = (try? String(contentsOfFile: folder + "/log", encoding: .utf8)) ?? ""
                throw CommandError(.startFailed, "the shard ended before it listened: \(log.suffix(2_000))")
            }
            try await Task.sleep(for: .milliseconds(1))
        }
        throw CommandError(.timedOut, "the shard did not listen within \(Self.patience)")
    }

    /// A request as a user's first would be: a short chat.
    private func firstToken(_ client: WireClient) async throws {
        var message = Fathom_Shard_V1_ChatMessage()
        message.role = "user"
        message.content = "Name the capital of France."
        var request = Fathom_Shard_V1_GenerateRequest()
        request.requestID = "bench"
        request.principal.tenant = DefaultKey.tenant
        request.prompt.chat.messages = [message]
        request.sampling = SamplingParameters(maxTokens: 1, temperature: 0, ignoreEOS: true).proto()
        let options = CallOptions(timeout: Self.patience, metadata: [MetadataKey.tenant: DefaultKey.tenant])
        for try await event in try await client.serverStreaming(InferenceService.generate, request, options: options) {
            if case .delta = event.message.kind { return }
        }
        throw CommandError(.startFailed, "the shard's answer held no token")
    }

    private func sample(
        _ pid: pid_t, listening: Duration, token: Duration, _ description: Fathom_Shard_V1_DescribeResponse
    ) throws -> Sample {
        let memory = try ProcessMemory(pid: pid)
        let configuration = try ModelConfiguration(metadata: GGUFFile(path: model.path).metadata)
        let blockBytes = StageFootprint.kvByteCountPerBlock(
            of: configuration, layers: configuration.layerCount, type: kvType)
        return Sample(
            secondsToListening: listening.inSeconds, secondsToFirstToken: token.inSeconds,
            peakResidentBytes: memory.peakResident, residentBytes: memory.resident, anonymousBytes: memory.anonymous,
            weightBytes: Int(description.stages.reduce(0) { $0 + $1.weightBytes }),
            kvBudgetBytes: Int(description.kvCacheBlocksTotal) * blockBytes)
    }
}

/// Resident memory of a process in bytes, from `/proc/PID/status`.
struct ProcessMemory {
    let peakResident: Int
    let resident: Int
    /// Part of `resident`: memory that no file backs.
    let anonymous: Int

    /// - Throws: ``CommandError`` `fileUnavailable` without such a process or such a file.
    init(pid: pid_t) throws {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else {
            throw CommandError(.fileUnavailable, "cannot read /proc/\(pid)/status")
        }
        func bytes(_ key: String) throws -> Int {
            let line = text.split(separator: "\n").first { $0.hasPrefix(key + ":") }
            guard let kibibytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) })
            else { throw CommandError(.fileUnavailable, "/proc/\(pid)/status says nothing of \(key)") }
            return kibibytes * 1024
        }
        peakResident = try bytes("VmHWM")
        resident = try bytes("VmRSS")
        anonymous = try bytes("RssAnon")
    }
}
