import Foundation
import ServiceSupport
import ShardServer
import Testing
import Transformer

/// How many tokens a step may have, whatever is configured.
struct StepSizeTests {
    private func maxBatchedTokens(_ settings: [String: String]) throws -> Int {
        let home = FileManager.default.homeDirectoryForCurrentUser.path
        let directory = ProcessInfo.processInfo.environment["FATHOM_MODELS"] ?? home + "/.fathom/models"
        let path = directory + "/smollm2-135m-instruct/model.gguf"
        try #require(FileManager.default.fileExists(atPath: path), "\(path) is missing: run `make models`")
        var flags: ServiceFlags = [:]
        for key in ShardConfiguration.keys { flags.set(key, settings[key]) }
        flags.set("model", [path])
        flags.set("threads", 1)
        let loader = ModelLoader(
            try ShardConfiguration(
                try ServiceConfiguration(service: "shard", options: .parsing([]), flags: flags, environment: [:])))
        return try loader.stage(of: loader.card(of: ModelSpecification(name: "m", path: path))).stage.maxBatchedTokens
    }

    @Test("a step has no more tokens than the KV cache has positions")
    func positions() throws {
        #expect(try maxBatchedTokens(["kv-blocks": "8", "max-batched-tokens": "1000000"]) == 128)
        #expect(try maxBatchedTokens(["kv-blocks": "8", "max-batched-tokens": "100"]) == 100)
    }

    @Test("between stages the hidden states of a step fit into one frame")
    func frame() throws {
        let settings = [
            "kv-blocks": "1024", "max-batched-tokens": "1000000", "stages": "2", "next": "127.0.0.1:1",
        ]
        // 576 numbers a token, of 12 MiB.
        #expect(try maxBatchedTokens(settings) == (12 << 20) / (576 * 4))
    }
}
