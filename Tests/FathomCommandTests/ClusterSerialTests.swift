import AsyncHTTPClient
import FathomCommand
import Foundation
import ModelRegistry
import NIOCore
import NIOHTTP1
import Testing

/// The whole thing, with real processes. One cluster at a time: two would share two cores.
@Suite(.serialized)
struct ClusterSerialTests {
    private static let prompts = (1...16).map { "Fact number \($0): the river that flows through the city of" }

    @Test("greedy text is the same on one, two and three shards, alone and in company")
    func shardCountsAgree() async throws {
        var alone: [String] = []
        try await withTemporaryDirectory { scratch in
            try await ClusterFixture.with(shards: 1, scratch: scratch) { fixture in
                for prompt in Self.prompts { alone.append(try await fixture.complete(prompt)) }
            }
        }
        #expect(Set(alone).count > 1)
        for shards in [2, 3] {
            try await withTemporaryDirectory { scratch in
                try await ClusterFixture.with(shards: shards, scratch: scratch) { fixture in
                    let together = try await withThrowingTaskGroup(of: (Int, String).self) { group in
                        for (index, prompt) in Self.prompts.enumerated() {
                            group.addTask { (index, try await fixture.complete(prompt)) }
                        }
                        var texts = [String](repeating: "", count: Self.prompts.count)
                        for try await (index, text) in group { texts[index] = text }
                        return texts
                    }
                    #expect(together == alone, "\(shards) shards")
                }
            }
        }
    }

    @Test("a killed shard is seen, comes back on its port, and a stream in flight goes on with the same text")
    func shardKilled() async throws {
        try await withTemporaryDirectory { scratch in
            try await ClusterFixture.with(shards: 2, scratch: scratch) { fixture in
                let before = try await fixture.complete("The capital of France is")
                let victim = try #require(fixture.cluster.processes.first { $0.name == "shard-1" })

                var stream = HTTPClientRequest(url: (fixture.cluster.gatewayURL ?? "") + "/v1/completions")
                stream.method = .POST
                stream.headers.add(name: "Authorization", value: "Bearer \(fixture.cluster.apiKey ?? "")")
                stream.headers.add(name: "Content-Type", value: "application/json")
                stream.body = .bytes(
                    ByteBuffer(
                        string: """
                            {"model": "\(fixture.cluster.model)", "prompt": "Once upon a time", "max_tokens": 120,
                             "temperature": 0, "stream": true}
                            """))
                let response = try await HTTPClient.shared.execute(stream, timeout: .seconds(60))
                #expect(response.status.code == 200)
                var parser = ServerSentEventParser()
                var events: [ServerSentEvent] = []
                var isKilled = false
                for try await part in response.body {
                    events += try parser.consume(part.readableBytesView)
                    if !isKilled, events.count > 3 {
                        isKilled = true
                        kill(victim.pid, SIGKILL)
                    }
                }
                #expect(isKilled)
                #expect(!events.contains { $0.data.contains("\"error\"") })
                #expect(events.last?.data == "[DONE]")
                let text = events.compactMap { event -> String? in
                    let chunk = try? JSONSerialization.jsonObject(with: Data(event.data.utf8)) as? [String: Any]
                    return ((chunk?["choices"] as? [[String: Any]])?.first)?["text"] as? String
                }.joined()

                // The supervisor notes the new process before that one is ready.
                let isBack = try await poll(within: .seconds(30)) {
                    let file = try ClusterFile.load(fixture.home)
                    let pid = file.processes.first { $0.name == "shard-1" }?.pid
                    guard let pid, pid > 0, pid != victim.pid else { return false }
                    return try await fixture.request(.GET, "/readyz").status == 200
                }
                #expect(isBack)
                let after = try ClusterFile.load(fixture.home)
                let revived = try #require(after.processes.first { $0.name == "shard-1" })
                #expect(revived.port == victim.port)
                #expect(revived.pid != victim.pid)
                #expect(revived.restarts == 1)
                #expect(after.apiKey == fixture.cluster.apiKey)
                // Another length, so that the answer does not come from the cache.
                #expect(try await fixture.complete("The capital of France is", maxTokens: 25).hasPrefix(before))
                #expect(
                    try await fixture.complete("Once upon a time", maxTokens: 121).hasPrefix(text) && text.count > 100)
            }
        }
    }

    @Test("up, status, key, ingest, ask, chat and down work on one home, and a second up is refused")
    func commands() async throws {
        try await withTemporaryDirectory { scratch in
            var supervisor: ProcessIdentity?
            var members: [ClusterFile.Member] = []
            try await ClusterFixture.with(shards: 2, scratch: scratch) { fixture in
                supervisor = fixture.cluster.supervisor
                members = fixture.cluster.processes
                let home = ["--home", fixture.home.path]

                let second = try await ClusterFixture.fathom(["up", "--detach"] + home, scratch: scratch)
                #expect(second.status != 0)
                #expect(second.output.contains("already"))

                let status = try await ClusterFixture.fathom(["status"] + home, scratch: scratch)
                #expect(status.status == 0, "\(status.output)")
                #expect(status.output.contains("shard-1"))
                #expect(status.output.contains("\nready"))

                let head = try #require(members.first { $0.name == "shard-0" })
                let probe = try await ClusterFixture.fathom(["probe", "--address", head.address], scratch: scratch)
                #expect(probe.status == 0, "\(probe.output)")
                let deadProbe = try await ClusterFixture.fathom(
                    ["probe", "--address", "127.0.0.1:1", "--timeout", "0.2"], scratch: scratch)
                #expect(deadProbe.status == 1)

                try write(
                    "# Lanterns\n\nThe code word of the night shift is heliotrope.\n", to: scratch + "/docs/lanterns.md"
                )
                try write("Lunch is served at noon in the east hall.\n", to: scratch + "/docs/lunch.txt")
                let ingest = try await ClusterFixture.fathom(
                    ["ingest", scratch + "/docs", "--store", "t"] + home, scratch: scratch)
                #expect(ingest.status == 0, "\(ingest.output)")
                #expect(ingest.output.contains("2 of 2 documents"))
                let ask = try await ClusterFixture.fathom(
                    ["ask", "What is the code word of the night shift?", "--store", "t"] + home, scratch: scratch)
                #expect(ask.status == 0, "\(ask.output)")
                #expect(ask.output.contains("[1] lanterns.md"), "\(ask.output)")
                let unknown = try await ClusterFixture.fathom(["ask", "?", "--store", "none"] + home, scratch: scratch)
                #expect(unknown.status == 1)
                #expect(unknown.output.contains("fathom ingest"))

                // The same again changes nothing; a change replaces, what is gone goes, what is bad is named.
                func ingestAgain(_ more: String...) async throws -> (status: Int32, output: String) {
                    let result = try await ClusterFixture.fathom(
                        ["ingest", scratch + "/docs", "--store", "t"] + more + home, scratch: scratch)
                    return (result.status, result.output)
                }
                let again = try await ingestAgain()
                #expect(
                    again.status == 0 && again.output.contains("0 added, 0 changed, 2 unchanged"), "\(again.output)")
                try write("Lunch is served at one in the west hall.\n", to: scratch + "/docs/lunch.txt")
                try write("", to: scratch + "/docs/empty.txt")
                try FileManager.default.removeItem(atPath: scratch + "/docs/lanterns.md")
                try FileManager.default.createSymbolicLink(
                    atPath: scratch + "/docs/dangling.md", withDestinationPath: "nowhere")
                try write("x", to: scratch + "/docs/picture.png")
                let synced = try await ingestAgain("--sync")
                #expect(synced.status == 1)
                #expect(synced.output.contains("0 added, 1 changed, 0 unchanged, 1 removed, 2 failed, 1 skipped"))
                for name in ["empty.txt", "dangling.md", "picture.png"] {
                    #expect(synced.output.contains(name), "\(synced.output)")
                }
                let lunch = try await ClusterFixture.fathom(
                    ["ask", "When is lunch served?", "--store", "t"] + home, scratch: scratch)
                #expect(lunch.output.contains("west hall") && !lunch.output.contains("east hall"), "\(lunch.output)")

                let key = try await ClusterFixture.fathom(
                    ["key", "create", "--tenant", "acme"] + home, scratch: scratch)
                #expect(key.output.hasPrefix("fk-"))
                let keys = try await ClusterFixture.fathom(["key", "list"] + home, scratch: scratch)
                #expect(keys.output.contains("acme"))
                #expect(!keys.output.contains(key.output.trimmingCharacters(in: .whitespacesAndNewlines)))
                // Standard input is empty: the conversation ends before it begins.
                let chat = try await ClusterFixture.fathom(["chat"] + home, scratch: scratch)
                #expect(chat.status == 0, "\(chat.output)")
            }
            #expect(supervisor?.isRunning == false)
            #expect(members.filter(\.identity.isRunning) == [])
            let home = HomeDirectory(path: scratch + "/home")
            #expect(!FileManager.default.fileExists(atPath: home.clusterFile))
            let status = try await ClusterFixture.fathom(["status", "--home", home.path], scratch: scratch)
            #expect(status.status == 1)
            #expect(status.output.contains("fathom up"))
        }
    }

    @Test("two models take turns in the memory of one, a broken one hurts nobody, and memory comes back")
    func severalModels() async throws {
        let model = try ModelRegistry.standard().textModel(ModelCatalogue.defaultTextModel).path
        try await withTemporaryDirectory { scratch in
            let broken = scratch + "/broken.gguf"
            try Data(contentsOf: URL(fileURLWithPath: model)).prefix(20_000_000).write(to: URL(fileURLWithPath: broken))
            let arguments = [
                "--model", "first=\(model)", "--model", "second=\(model)", "--model", "broken=\(broken)",
                "--shard-option", "kv-blocks=512", "--memory-budget", "300MiB",
            ]
            try await ClusterFixture.with(shards: 2, scratch: scratch, arguments: arguments) { fixture in
                let prompt = "The capital of France is"
                let text = try await fixture.complete(prompt, model: "first")
                let before = try fixture.shardMemory()
                #expect(try await fixture.complete(prompt, model: "second") == text)
                #expect(try await fixture.states() == ["first": "not_loaded", "second": "loaded", "broken": "failed"])

                for (name, status) in [("broken", 500), ("third", 404)] {
                    let (code, body) = try await fixture.request(
                        .POST, "/v1/completions", json: #"{"model": "\#(name)", "prompt": "x", "max_tokens": 1}"#)
                    #expect(code == status && body.contains(name == "broken" ? "unusable" : "second"), "\(body)")
                }
                // Many at once for both: each waits for its model.
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for index in 0..<12 {
                        group.addTask {
                            _ = try await fixture.complete(
                                "\(index): \(prompt)", model: ["first", "second"][index % 2])
                        }
                    }
                    try await group.waitForAll()
                }
                for index in 0..<6 {
                    _ = try await fixture.complete("again \(index)", model: ["first", "second"][index % 2])
                }
                #expect(try await fixture.request(.GET, "/readyz").status == 200)
                for (shard, after) in try fixture.shardMemory() {
                    let start = try #require(before[shard])
                    #expect(after < start + 60 << 20, "\(shard) grew from \(start) to \(after) bytes")
                }
                let status = try await ClusterFixture.fathom(
                    ["status", "--home", fixture.home.path], scratch: scratch)
                #expect(status.status == 0 && status.output.contains("memory budget"), "\(status.output)")
            }
        }
    }

    @Test(
        "a model is verified by `up` and by the shards, and served under a name with a slash, in a home that is closed")
    func verifiedModelWithSlash() async throws {
        try await withTemporaryDirectory { scratch in
            try FileManager.default.createDirectory(
                atPath: scratch + "/home", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
            let arguments = [
                "--verify-models", "--model", "Org/Net=\(ModelCatalogue.defaultTextModel)", "--shard-option",
                "kv-blocks=128",
            ]
            try await ClusterFixture.with(shards: 2, scratch: scratch, arguments: arguments) { fixture in
                let settings = try read(fixture.home.settingsFile)
                #expect(settings.contains("--verify-models") && settings.contains("digest"))
                #expect(!(try await fixture.complete("The river", model: "Org/Net", maxTokens: 4)).isEmpty)
                for path in ["/v1/models/Org/Net", "/v1/models/Org%2FNet"] {
                    let (status, body) = try await fixture.request(.GET, path)
                    #expect(status == 200 && body.contains("Org"), "\(path): \(body)")
                }
                for path in [fixture.home.path, fixture.home.logDirectory] {
                    let attributes = try FileManager.default.attributesOfItem(atPath: path)
                    #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o700, "\(path)")
                }
            }
        }
    }

    @Test("when the supervisor is killed nothing of the cluster is left")
    func supervisorKilled() async throws {
        try await withTemporaryDirectory { scratch in
            try await ClusterFixture.with(shards: 2, scratch: scratch) { fixture in
                fixture.cluster.supervisor.send(SIGKILL)
                let isOver = await poll(within: .seconds(20)) {
                    !fixture.cluster.processes.contains(where: \.identity.isRunning)
                }
                #expect(isOver)
                #expect(!fixture.home.isLive)
            }
        }
    }
}
