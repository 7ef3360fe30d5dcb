import AsyncHTTPClient
import FathomCommand
import Foundation
import ModelRegistry
import NIOCore
import NIOHTTP1
import Testing

/// A cluster of real processes, started and ended by the built `fathom` executable.
struct ClusterFixture {
    let home: HomeDirectory
    let cluster: ClusterFile

    /// Folder of the executables: `FATHOM_BIN`, else that of the test bundle.
    static let executables =
        ProcessInfo.processInfo.environment["FATHOM_BIN"]
        ?? URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().path

    /// What one run of the tool printed and how it ended.
    struct Run {
        var status: Int32
        /// Standard output and standard error.
        var output: String
    }

    /// Runs `fathom` to its end.
    static func fathom(_ arguments: [String], scratch: String, environment: [String: String] = [:]) async throws -> Run
    {
        let log = scratch + "/run-\(UUID().uuidString).log"
        let pid = try ProcessSpawner(
            executable: try executable(), arguments: arguments,
            environment: ProcessInfo.processInfo.environment.merging(environment) { $1 }, logPath: log
        ).spawn()
        let status = await ProcessSpawner.wait(for: pid)
        return Run(status: status, output: try read(log))
    }

    private static func executable() throws -> String {
        if access(executables + "/fathom", X_OK) == 0 { return executables + "/fathom" }
        throw CommandError(.startFailed, "there is no fathom in \(executables); run `make build`")
    }

    /// Starts a cluster in `scratch`, runs `body`, and ends the cluster.
    static func with<Result>(
        shards: Int, scratch: String, arguments: [String] = [], _ body: (ClusterFixture) async throws -> Result
    ) async throws -> Result {
        let home = HomeDirectory(path: scratch + "/home")
        let up = try await fathom(
            ["up", "--detach", "--home", home.path, "--shards", String(shards), "--threads", "1"] + arguments,
            scratch: scratch)
        try #require(up.status == 0, "\(up.output)\nrun `make models` if a model is missing")
        do {
            let result = try await body(ClusterFixture(home: home, cluster: try ClusterFile.load(home)))
            _ = try await fathom(["down", "--home", home.path], scratch: scratch)
            return result
        } catch {
            _ = try await fathom(["down", "--home", home.path], scratch: scratch)
            throw error
        }
    }

    /// Status and body of one request with the tool's key.
    func request(_ method: HTTPMethod, _ path: String, json: String? = nil) async throws -> (status: Int, body: String)
    {
        var request = HTTPClientRequest(url: (cluster.gatewayURL ?? "") + path)
        request.method = method
        request.headers.add(name: "Authorization", value: "Bearer \(cluster.apiKey ?? "")")
        if let json {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(string: json))
        }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(120))
        let body = try await response.body.collect(upTo: 16 << 20)
        return (Int(response.status.code), String(buffer: body))
    }

    /// States of the text models, by name.
    func states() async throws -> [String: String] {
        struct List: Decodable {
            struct Model: Decodable {
                var id: String
                var state: String?
            }
            var data: [Model]
        }
        let (_, body) = try await request(.GET, "/v1/models")
        let models = try JSONDecoder().decode(List.self, from: Data(body.utf8)).data
        return Dictionary(uniqueKeysWithValues: models.compactMap { model in model.state.map { (model.id, $0) } })
    }

    /// Anonymous memory of each shard in bytes, by name.
    func shardMemory() throws -> [String: Int] {
        var result: [String: Int] = [:]
        for member in cluster.processes where member.kind == "shard" {
            let line = try read("/proc/\(member.pid)/status").split(separator: "\n").first { $0.hasPrefix("RssAnon") }
            let kibibytes = try #require(line?.split(whereSeparator: \.isWhitespace).dropFirst().first)
            result[member.name] = try #require(Int(kibibytes)) << 10
        }
        return result
    }

    /// Named as OpenAI names them.
    private struct CompletionBody: Encodable {
        var model: String
        var prompt: String
        var max_tokens: Int
        var temperature = 0
        var ignore_eos = true
    }

    /// Greedy text of a completion.
    func complete(_ prompt: String, model: String? = nil, maxTokens: Int = 24) async throws -> String {
        struct Answer: Decodable {
            struct Choice: Decodable { var text: String }
            var choices: [Choice]
        }
        let body = CompletionBody(model: model ?? cluster.model, prompt: prompt, max_tokens: maxTokens)
        let json = String(decoding: try JSONEncoder().encode(body), as: UTF8.self)
        let (status, answer) = try await request(.POST, "/v1/completions", json: json)
        try #require(status == 200, "HTTP \(status): \(answer)")
        let choices = try JSONDecoder().decode(Answer.self, from: Data(answer.utf8)).choices
        return try #require(choices.first).text
    }
}
