import Foundation
import ModelRegistry
import ServiceSupport
import ShardServer
import Testing

@Suite struct ShardConfigurationTests {
    private func load(
        models: [String] = [], _ flags: [String: String] = [:], yaml: String? = nil, environment: [String: String] = [:]
    ) throws -> ShardConfiguration {
        var all: ServiceFlags = [:]
        for key in ShardConfiguration.keys { all.set(key, flags[key]) }
        all.set("model", models)
        var options: [String] = []
        if let yaml {
            let path = FileManager.default.temporaryDirectory.appendingPathComponent("shard-\(UUID().uuidString).yaml")
            try Data(yaml.utf8).write(to: path)
            options = ["--config", path.path]
        }
        let settings = try ServiceConfiguration(
            service: "shard", options: .parsing(options), flags: all, environment: environment)
        return try ShardConfiguration(settings)
    }

    private func models(_ configuration: ShardConfiguration) -> [String] {
        configuration.models.map { "\($0.name) \($0.path)" }
    }

    @Test("one plain path is named after its folder or by model-name")
    func onePath() throws {
        #expect(models(try load(models: ["/m/tiny/model.gguf"])) == ["tiny /m/tiny/model.gguf"])
        #expect(models(try load(models: ["/m/tiny/model.gguf"], ["model-name": "x"])) == ["x /m/tiny/model.gguf"])
        #expect(models(try load(yaml: "model: /m/tiny/model.gguf")) == ["tiny /m/tiny/model.gguf"])
        // A path may hold an equals sign, and a comma as a flag.
        #expect(models(try load(models: ["/m/a=b/x,y.gguf"])) == ["a=b /m/a=b/x,y.gguf"])
        #expect(models(try load(models: ["org/net=/m/a.gguf"])) == ["org/net /m/a.gguf"])
    }

    @Test("a folder of safetensors is named after itself")
    func folder() throws {
        let parent = FileManager.default.temporaryDirectory.appendingPathComponent("shard-\(UUID().uuidString)")
        let folder = parent.appendingPathComponent("tiny")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: parent) }
        try Data().write(to: folder.appendingPathComponent("model.safetensors"))
        #expect(try load(models: [folder.path]).models.map(\.name) == ["tiny"])
        #expect(try load(models: [folder.path + "/"]).models.map(\.name) == ["tiny"])
    }

    @Test("several models are repeated flags, a list in the file, or separated by commas in a variable")
    func several() throws {
        let expected = ["a /m/a.gguf", "b /m/b=1.gguf"]
        #expect(models(try load(models: ["a=/m/a.gguf", "b=/m/b=1.gguf"])) == expected)
        #expect(models(try load(yaml: "model: [a=/m/a.gguf, b=/m/b=1.gguf]")) == expected)
        #expect(
            models(try load(environment: ["FATHOM_SHARD_MODEL": "a=/m/a.gguf,b=/m/b=1.gguf"])) == expected)
        #expect(models(try load(models: ["/m/one/x.gguf", "/m/two/x.gguf"])).map { $0.prefix(3) } == ["one", "two"])
    }

    @Test("verification needs a key exactly when signatures are asked for")
    func verification() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("shard-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let key = folder + "/key.pub"
        try Data(SigningKey().publicKey.pem.utf8).write(to: URL(fileURLWithPath: key))
        func verification(_ flags: [String: String]) throws -> ModelVerification {
            try load(models: ["/m/tiny/model.gguf"], flags).verification
        }
        guard case .off = try verification([:]), case .off = try verification(["verify-models": "off"]),
            case .digest = try verification(["verify-models": "digest"]),
            case .signature = try verification(["verify-models": "signature", "verify-key": key])
        else {
            Issue.record("another verification than asked for")
            return
        }
        for flags in [
            ["verify-models": "yes"], ["verify-models": "signature"], ["verify-key": key],
            ["verify-models": "digest", "verify-key": key],
            ["verify-models": "signature", "verify-key": folder + "/missing"],
            ["verify-models": "signature", "verify-key": folder],
        ] {
            #expect(throws: ConfigurationError.self) { try verification(flags) }
        }
    }

    @Test("what contradicts itself is refused")
    func refusals() {
        #expect(throws: ConfigurationError.self) { try load() }
        #expect(throws: ConfigurationError.self) { try load(models: ["a="]) }
        #expect(throws: ConfigurationError.self) { try load(models: ["a=/x", "a=/y"]) }
        #expect(throws: ConfigurationError.self) { try load(models: ["/m/x.gguf", "/m/y.gguf"]) }
        #expect(throws: ConfigurationError.self) { try load(models: ["a=/x", "b=/y"], ["model-name": "c"]) }
        #expect(throws: ConfigurationError.self) { try load(models: ["a=/x", "b=/y"], ["layers": "0..<4"]) }
        #expect(throws: ConfigurationError.self) { try load(models: ["a=/x"], ["memory-budget": "plenty"]) }
        #expect(throws: ConfigurationError.self) { try load(models: ["a=/x"], ["memory-budget": "0"]) }
    }

    @Test("the memory budget has a unit, and none means no bound")
    func budget() throws {
        #expect(try load(models: ["a=/x"]).memoryBudget == nil)
        #expect(try load(models: ["a=/x"], ["memory-budget": "1.5GiB"]).memoryBudget == 3 << 29)
        #expect(try load(models: ["a=/x"], yaml: "memory-budget: 512MiB").memoryBudget == 512 << 20)
    }
}
