import Foundation
import GatewayServer
import Identity
import Testing
import WireProtocols

struct ResponseCacheTests {
    static func key(
        tenant: String = "a", digest: String = "d", context: [String] = [],
        _ change: (inout Fathom_Shard_V1_GenerateRequest) -> Void = { _ in }
    ) -> CacheKey {
        var request = Fathom_Shard_V1_GenerateRequest()
        request.prompt.text = "prompt"
        request.sampling.maxTokens = 5
        change(&request)
        let namespaces = CacheNamespaces(secret: Array(repeating: 7, count: 32))
        return CacheKey(
            namespace: namespaces.namespace(of: Principal(tenant: tenant, keyID: "k")), kind: "chat",
            modelDigest: digest, requests: [request], context: context)
    }

    static func generation(_ text: String) -> CachedGeneration {
        var event = Fathom_Shard_V1_GenerateEvent()
        event.delta.text = text
        return CachedGeneration(events: [ChoiceEvent(index: 0, event: event)], evidence: nil)
    }

    @Test("whatever decides an answer makes another key")
    func keys() {
        let different = [
            Self.key(), Self.key(tenant: "b"), Self.key(digest: "e"), Self.key(context: ["vs@1"]),
            Self.key(context: ["vs@2"]), Self.key { $0.prompt.text = "other" },
            Self.key { $0.prompt.tokens.ids = [1, 2] }, Self.key { $0.prompt.tokens.ids = [12] },
            Self.key { $0.sampling.maxTokens = 6 }, Self.key { $0.sampling.seed = 0 },
            Self.key { $0.sampling.seed = 1 },
            Self.key { $0.sampling.topP = 0.5 }, Self.key { $0.sampling.minP = 0.5 }, Self.key { $0.sampling.topK = 5 },
            Self.key { $0.sampling.stop = ["a", "b"] }, Self.key { $0.sampling.stop = ["ab"] },
            Self.key { $0.sampling.logitBias = [1: 2] }, Self.key { $0.sampling.logprobs = 1 },
            Self.key { $0.sampling.ignoreEos = true }, Self.key { $0.echo = true },
            Self.key { $0.sampling.stopTokenIds = [1] },
            Self.key { request in
                var message = Fathom_Shard_V1_ChatMessage()
                message.role = "user"
                request.prompt.chat.messages = [message]
            },
        ]
        #expect(Set(different).count == different.count)
    }

    @Test("what only names a request is not in its key")
    func equalKeys() {
        let plain = Self.key()
        #expect(plain == Self.key())
        #expect(plain == Self.key { $0.requestID = "other" })
        #expect(plain == Self.key { $0.principal.keyID = "other" })
    }

    @Test("the least recently used entry goes first when there are too many")
    func eviction() {
        let cache = ResponseCache(maximumEntryCount: 3, maximumCost: 1 << 20)
        let keys = (0..<4).map { index in Self.key { $0.sampling.maxTokens = UInt32(index) } }
        for key in keys.prefix(3) { cache.insert(Self.generation("x"), for: key) }
        #expect(cache.value(for: keys[0]) != nil)
        cache.insert(Self.generation("x"), for: keys[3])
        #expect(cache.value(for: keys[1]) == nil)
        #expect(cache.value(for: keys[0]) != nil)
        #expect(cache.value(for: keys[2]) != nil)
        #expect(cache.value(for: keys[3]) != nil)
        #expect(cache.size.entries == 3)
    }

    @Test("bytes are bounded, and one large answer does not empty the cache")
    func cost() {
        let cache = ResponseCache(maximumEntryCount: 1_000, maximumCost: 100_000)
        for index in 0..<500 {
            cache.insert(
                Self.generation(String(repeating: "x", count: 1_000)),
                for: Self.key { $0.sampling.maxTokens = UInt32(index) })
            #expect(cache.size.cost <= 100_000)
        }
        let before = cache.size.entries
        #expect(before > 10)
        cache.insert(Self.generation(String(repeating: "x", count: 50_000)), for: Self.key())
        #expect(cache.size.entries == before)
        #expect(cache.value(for: Self.key()) == nil)
    }

    @Test("the secret is made once and kept")
    func secret() throws {
        let directory = NSTemporaryDirectory() + "/cache-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let principal = Principal(tenant: "a", keyID: "k")
        let first = try CacheNamespaces(directory: directory).namespace(of: principal)
        #expect(try CacheNamespaces(directory: directory).namespace(of: principal) == first)
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: directory + "/cache-secret"))
        #expect(throws: GatewayError.self) { try CacheNamespaces(directory: directory) }
    }
}
