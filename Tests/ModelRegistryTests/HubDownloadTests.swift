import Foundation
import ModelRegistry
import Synchronization
import Testing

struct HubDownloadTests {
    private let content = makeBytes(count: 3_000_000)

    private func recipe(_ name: String = "tiny", revision: String = "main", sha256: String? = nil) throws -> ModelRecipe
    {
        ModelRecipe(
            name: name, kind: .textGeneration, source: try ModelSource(parsing: "hf:owner/repo@\(revision)"),
            files: [WantedFile(member: "weights/model.gguf", path: "model.gguf", sha256: sha256)])
    }

    /// Pulls from a hub that serves `content`, after `prepare` had a chance to leave something in the registry.
    private func pull(
        _ recipe: ModelRecipe, prepare: (String) throws -> Void = { _ in },
        check: (ModelRegistry, [String], ModelManifest) throws -> Void
    ) async throws {
        try await withTemporaryDirectory { scratch in
            try write(content, to: scratch + "/served/weights/model.gguf")
            let registry = ModelRegistry(directory: scratch + "/models")
            try prepare(registry.directory)
            try await TestHub.with(serving: scratch + "/served", in: scratch) { hub in
                let configuration = ModelPullConfiguration(hubEndpoint: hub.endpoint, retryDelay: .milliseconds(1))
                let manifest = try await ModelPuller(registry: registry, configuration: configuration).pull(recipe)
                try check(registry, hub.log(), manifest)
            }
        }
    }

    @Test("a file is fetched, hashed and installed with a manifest that verifies")
    func installs() async throws {
        try await pull(recipe()) { registry, log, manifest in
            let installed = try read(registry.directory(of: "tiny") + "/model.gguf")
            #expect(installed == content)
            #expect(manifest.files.map(\.size) == [3_000_000])
            #expect(try registry.installed() == [manifest])
            #expect(try registry.verify("tiny").problems == [])
            #expect(log == ["/owner/repo/resolve/main/weights/model.gguf - 200"])
            #expect(!FileManager.default.fileExists(atPath: registry.directory + "/.partial/tiny"))
        }
    }

    @Test("a connection that breaks half way is resumed where it ended")
    func resumesAfterBreak() async throws {
        try await pull(recipe(revision: "break-once")) { registry, log, _ in
            let installed = try read(registry.directory(of: "tiny") + "/model.gguf")
            #expect(installed == content)
            // How much of the first half arrived before the end did is the network's business.
            #expect(log.count == 2)
            #expect(log.first == "/owner/repo/resolve/break-once/weights/model.gguf - 200")
            #expect(log.last?.hasSuffix("- 206") == true)
            #expect(log.last?.contains("bytes=0-") == false)
        }
    }

    @Test("what an earlier pull left is resumed by the next one")
    func resumesEarlierPull() async throws {
        let prefix = content.prefix(1_000_001)
        try await pull(recipe(), prepare: { try write(prefix, to: $0 + "/.partial/tiny/0.part") }) { registry, log, _ in
            let installed = try read(registry.directory(of: "tiny") + "/model.gguf")
            #expect(installed == content)
            #expect(log == ["/owner/repo/resolve/main/weights/model.gguf bytes=1000001- 206"])
        }
    }

    @Test("a partial file that is whole already is not fetched again")
    func wholePartial() async throws {
        try await pull(recipe(), prepare: { try write(content, to: $0 + "/.partial/tiny/0.part") }) {
            registry, log, _ in
            let installed = try read(registry.directory(of: "tiny") + "/model.gguf")
            #expect(installed == content)
            #expect(log == ["/owner/repo/resolve/main/weights/model.gguf bytes=3000000- 416"])
        }
    }

    @Test("a partial file of another version is thrown away")
    func changedUpstream() async throws {
        let prepare: (String) throws -> Void = {
            try write(makeBytes(count: 500, seed: 9), to: $0 + "/.partial/tiny/0.part")
            try write(Data("\"old\"".utf8), to: $0 + "/.partial/tiny/0.part.etag")
        }
        try await pull(recipe(), prepare: prepare) { registry, log, _ in
            let installed = try read(registry.directory(of: "tiny") + "/model.gguf")
            #expect(installed == content)
            #expect(log == ["/owner/repo/resolve/main/weights/model.gguf bytes=500- 200"])
        }
    }

    @Test("a hub that is busy or knows no ranges still gives the file", arguments: ["busy-once", "no-range"])
    func oddHubs(_ revision: String) async throws {
        let prefix = content.prefix(10)
        try await pull(
            recipe(revision: revision), prepare: { try write(prefix, to: $0 + "/.partial/tiny/0.part") }
        ) { registry, _, _ in
            let installed = try read(registry.directory(of: "tiny") + "/model.gguf")
            #expect(installed == content)
        }
    }

    @Test("a wrong digest installs nothing and is not resumed")
    func wrongDigest() async throws {
        let expected = String(repeating: "0", count: 64)
        let failure = await #expect(throws: ModelRegistryError.self) {
            try await pull(recipe(sha256: expected)) { _, _, _ in }
        }
        #expect(failure?.code == .checksumMismatch)
        #expect(failure?.message.contains("model.gguf") == true && failure?.message.contains(expected) == true)
    }

    @Test("a wrong digest leaves the installed model as it was")
    func wrongDigestKeepsInstalled() async throws {
        try await withTemporaryDirectory { scratch in
            try write(content, to: scratch + "/served/weights/model.gguf")
            let registry = ModelRegistry(directory: scratch + "/models")
            try await TestHub.with(serving: scratch + "/served", in: scratch) { hub in
                let puller = ModelPuller(
                    registry: registry, configuration: ModelPullConfiguration(hubEndpoint: hub.endpoint))
                let manifest = try await puller.pull(recipe())
                let bad = try recipe(sha256: String(repeating: "1", count: 64))
                await #expect(throws: ModelRegistryError.self) { try await puller.pull(bad) }
                #expect(try registry.verify("tiny").problems == [])
                #expect(try registry.manifest(of: "tiny") == manifest)
            }
        }
    }

    @Test("a file the hub does not have is named in the error, without retries")
    func missingFile() async throws {
        try await withTemporaryDirectory { scratch in
            try await TestHub.with(serving: scratch, in: scratch) { hub in
                let puller = ModelPuller(
                    registry: ModelRegistry(directory: scratch + "/models"),
                    configuration: ModelPullConfiguration(hubEndpoint: hub.endpoint))
                let failure = await #expect(throws: ModelRegistryError.self) { try await puller.pull(recipe()) }
                #expect(failure?.code == .downloadFailed)
                #expect(failure?.message.contains("weights/model.gguf") == true)
                #expect(failure?.message.contains("404") == true)
                let log = try hub.log()
                #expect(log.count == 1)
            }
        }
    }

    @Test("a hub that is not there is an error after the attempts are used up")
    func noHub() async throws {
        try await withTemporaryDirectory { scratch in
            let configuration = ModelPullConfiguration(
                hubEndpoint: "http://127.0.0.1:1", attempts: 2, retryDelay: .milliseconds(1),
                connectTimeout: .milliseconds(50))
            let puller = ModelPuller(
                registry: ModelRegistry(directory: scratch), configuration: configuration)
            let failure = await #expect(throws: ModelRegistryError.self) { try await puller.pull(recipe()) }
            #expect(failure?.code == .downloadFailed)
            #expect(failure?.message.contains("2 attempts") == true)
            #expect(failure?.message.contains("refused") == true)
            #expect(failure?.message.contains("NIO") == false && failure?.message.contains("Error") == false)
        }
    }

    @Test(
        "while a hub is not there, a pull says what it does and why it tries again, and gives up after a few attempts")
    func saysWhatItDoes() async throws {
        let events = Mutex<[PullEvent]>([])
        let configuration = ModelPullConfiguration(hubEndpoint: "http://127.0.0.1:1", retryDelay: .milliseconds(1))
        let failure = await #expect(throws: ModelRegistryError.self) {
            try await HubListing.fetch(repository: "owner/repo", revision: "main", configuration: configuration) {
                event in events.withLock { $0.append(event) }
            }
        }
        #expect(failure?.message.contains("3 attempts") == true)
        let seen = events.withLock { $0 }
        #expect(seen.first == .contacting("http://127.0.0.1:1", about: "the files of owner/repo@main"))
        #expect(seen.count == 3)
        // A newcomer without a network waits for seconds, not for minutes.
        #expect(ModelPullConfiguration().connectTimeout * ModelPullConfiguration().connectAttempts <= .seconds(15))
    }

    @Test("an address that cannot be resolved is said in words")
    func noSuchHost() async throws {
        let configuration = ModelPullConfiguration(
            hubEndpoint: "http://no-such-host.invalid", connectAttempts: 1, retryDelay: .milliseconds(1))
        let failure = await #expect(throws: ModelRegistryError.self) {
            try await HubListing.fetch(repository: "owner/repo", revision: "main", configuration: configuration)
        }
        let message = failure?.message ?? ""
        #expect(message.contains("no-such-host.invalid"), "\(message)")
        #expect(!message.contains("NIO") && !message.contains("HTTPClientError"), "\(message)")
    }

    @Test(
        "a token goes over https, or to this machine, and nowhere else",
        arguments: [
            ("https://hub.example", true), ("HTTPS://hub.example", true), ("http://hub.example", false),
            ("http://127.0.0.1:8080", true), ("http://localhost", true), ("http://[::1]:80", true),
            ("http://127.0.0.1.example.com", false), ("http://127.1", false), ("http://localhost.example", false),
            ("http://10.0.0.1", false),
        ])
    func tokenOnlyWherePrivate(_ endpoint: String, _ isSent: Bool) throws {
        let configuration = try ModelPullConfiguration(
            environment: ["HF_TOKEN": "secret\n", "HF_ENDPOINT": endpoint + "/"])
        #expect(configuration.hubTokenToSend == (isSent ? "secret" : nil))
    }

    @Test("the hub gets the token on loopback, and says so when it may not have it")
    func tokenArrives() async throws {
        try await withTemporaryDirectory { scratch in
            try await TestHub.with(serving: scratch, in: scratch) { hub in
                var configuration = ModelPullConfiguration(hubEndpoint: hub.endpoint, hubToken: "secret")
                _ = try await HubListing.fetch(repository: "owner/repo", revision: "main", configuration: configuration)
                #expect(try hub.log().last?.hasSuffix(" token") == true)
                configuration.hubToken = nil
                _ = try await HubListing.fetch(repository: "owner/repo", revision: "main", configuration: configuration)
                #expect(try hub.log().last?.hasSuffix(" token") == false)
            }
        }
    }

    @Test("settings of the environment: empty ones are absent, impossible ones are refused by name")
    func environment() throws {
        let empty = try ModelPullConfiguration(environment: ["HF_TOKEN": "", "HF_ENDPOINT": "", "FATHOM_PYTHON": ""])
        #expect(empty.hubToken == nil && empty.hubEndpoint.hasPrefix("https://") && empty.python == "python3")
        for environment in [
            ["HF_ENDPOINT": "hub.example"], ["HF_ENDPOINT": "ftp://x"], ["HF_ENDPOINT": "https://u:p@x"],
            ["HF_TOKEN": "a b"], ["https_proxy": "socks5://x:1"],
        ] {
            #expect(throws: ModelRegistryError.self, "\(environment)") {
                try ModelPullConfiguration(environment: environment)
            }
        }
    }

    @Test("a proxy is taken from the usual variables, and left out for what they except")
    func proxies() throws {
        func proxy(_ environment: [String: String], _ endpoint: String = "https://hub.example") throws -> String? {
            let configuration = try ModelPullConfiguration(environment: environment, endpoint: endpoint)
            return configuration.proxy.map { "\($0.user ?? "-")@\($0.host):\($0.port)" }
        }
        #expect(try proxy(["HTTPS_PROXY": "http://u:p@proxy.example:3128"]) == "u@proxy.example:3128")
        #expect(try proxy(["https_proxy": "proxy.example:3128"]) == "-@proxy.example:3128")
        #expect(try proxy(["ALL_PROXY": "http://proxy.example"]) == "-@proxy.example:80")
        #expect(try proxy(["http_proxy": "http://proxy.example:1"]) == nil)
        #expect(try proxy(["https_proxy": "http://p:1", "no_proxy": "x.org, .example"]) == nil)
        #expect(try proxy(["https_proxy": "http://p:1", "NO_PROXY": "ample"]) != nil)
        #expect(try proxy(["https_proxy": "http://p:1", "http_proxy": "http://p:1"], "http://127.0.0.1:9") == nil)
    }

    @Test("a line that breaks again and again gets there, as long as each attempt brings something")
    func breaksOften() async throws {
        try await pull(recipe(revision: "break-often")) { registry, log, _ in
            let installed = try read(registry.directory(of: "tiny") + "/model.gguf")
            #expect(installed == content)
            // More attempts than the configuration allows without progress.
            #expect(log.count > 5)
        }
    }

    @Test("a range other than the one asked for is not taken; the file is fetched from the beginning")
    func wrongRange() async throws {
        let prefix = content.prefix(1_000)
        try await pull(
            recipe(revision: "wrong-range"), prepare: { try write(prefix, to: $0 + "/.partial/tiny/0.part") }
        ) { registry, log, _ in
            let installed = try read(registry.directory(of: "tiny") + "/model.gguf")
            #expect(installed == content)
            #expect(log.map { $0.suffix(3) } == ["206", "200"])
        }
    }

    @Test("a digest of the hub's that is not the file's installs nothing")
    func wrongTag() async throws {
        let failure = await #expect(throws: ModelRegistryError.self) {
            try await pull(recipe(revision: "wrong-tag")) { _, _, _ in }
        }
        #expect(failure?.code == .checksumMismatch)
        #expect(failure?.message.contains("the hub says 0000") == true)
    }

    @Test("a redirect is followed, and the token stays with the host it is for")
    func redirect() async throws {
        try await withTemporaryDirectory { scratch in
            try write(content, to: scratch + "/served/weights/model.gguf")
            let registry = ModelRegistry(directory: scratch + "/models")
            try await TestHub.with(serving: scratch + "/served", in: scratch) { hub in
                let configuration = ModelPullConfiguration(hubEndpoint: hub.endpoint, hubToken: "secret")
                _ = try await ModelPuller(registry: registry, configuration: configuration)
                    .pull(recipe(revision: "redirect"))
                let log = try hub.log()
                #expect(
                    log == [
                        "/owner/repo/resolve/redirect/weights/model.gguf - 302",
                        "2 /owner/repo/resolve/main/weights/model.gguf - 200",
                    ])
            }
        }
    }

    @Test("a whole repository comes at the commit the hub names, several files at a time, each checked")
    func listing() async throws {
        try await withTemporaryDirectory { scratch in
            let files = ["config.json", "model.safetensors", "a/x.gguf", "tokenizer.json", "pytorch_model.bin"]
            for (index, file) in files.enumerated() {
                try write(makeBytes(count: 200_000 + index, seed: UInt64(index)), to: scratch + "/served/" + file)
            }
            let registry = ModelRegistry(directory: scratch + "/models")
            try await TestHub.with(serving: scratch + "/served", in: scratch) { hub in
                let configuration = ModelPullConfiguration(hubEndpoint: hub.endpoint, parallelFiles: 3)
                let listing = try await HubListing.fetch(
                    repository: "owner/repo", revision: "main", configuration: configuration)
                #expect(listing.commit == "c0ffee" && listing.files.count == 5)
                #expect(listing.files(matching: ["*.gguf"]).map(\.path) == ["a/x.gguf"])
                let wanted = listing.files(matching: HubListing.modelPatterns).sorted { $0.path < $1.path }
                #expect(wanted.map(\.path) == ["config.json", "model.safetensors", "tokenizer.json"])
                let source = ModelSource.hub(repository: "owner/repo", revision: listing.commit)
                let puller = ModelPuller(registry: registry, configuration: configuration)
                let manifest = try await puller.pull(
                    ModelRecipe(name: "net", kind: .textGeneration, source: source, files: wanted))
                #expect(manifest.source == "hf:owner/repo@c0ffee")
                #expect(try registry.verify("net").problems == [])

                // Every digest that the hub gives is held against what arrives.
                for index in wanted.indices {
                    var bad = wanted
                    if bad[index].sha256 != nil {
                        bad[index].sha256 = String(repeating: "0", count: 64)
                    } else {
                        bad[index].gitBlob = String(repeating: "0", count: 40)
                    }
                    let failure = await #expect(throws: ModelRegistryError.self) {
                        try await puller.pull(
                            ModelRecipe(name: "bad", kind: .textGeneration, source: source, files: bad))
                    }
                    #expect(failure?.code == .checksumMismatch)
                    #expect(failure?.message.contains(bad[index].path) == true)
                }
            }
        }
    }

    @Test(
        "a listing that is none, or that leads out of the folder, is refused",
        arguments: [
            "", "[]", "{}", #"{"sha":"a/../b","siblings":[]}"#, #"{"sha":"a","siblings":[{"rfilename":"../x"}]}"#,
            #"{"sha":"a","siblings":[{"rfilename":"/etc/x"}]}"#,
        ])
    func badListing(_ text: String) {
        let failure = #expect(throws: ModelRegistryError.self) { try HubListing(Data(text.utf8), name: "a/b") }
        #expect(failure?.code == .downloadFailed)
    }
}
