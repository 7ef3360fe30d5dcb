import Crypto
import Foundation
import Identity
import WireProtocols

/// Names one answer in one tenant's namespace: SHA-256 over everything that decides it.
package struct CacheKey: Hashable, Sendable {
    package let digest: [UInt8]

    /// - Parameters:
    ///   - namespace: `CacheNamespaces.namespace(of:)` of the tenant.
    ///   - kind: the endpoint.
    ///   - modelDigest: of the weights.
    ///   - requests: every upstream request, but for what only names it.
    ///   - context: what else decides the answer, such as a vector store and its version; order counts.
    package init(
        namespace: [UInt8], kind: String, modelDigest: String, requests: [Fathom_Shard_V1_GenerateRequest],
        context: [String]
    ) {
        var hasher = LengthPrefixedHasher()
        hasher.add(namespace)
        hasher.add(kind)
        hasher.add(modelDigest)
        hasher.add(count: requests.count)
        for request in requests { Self.add(request, to: &hasher) }
        hasher.add(count: context.count)
        for item in context { hasher.add(item) }
        digest = hasher.finish()
    }

    private static func add(_ request: Fathom_Shard_V1_GenerateRequest, to hasher: inout LengthPrefixedHasher) {
        hasher.add(request.model)
        hasher.add(request.echo ? "echo" : "")
        switch request.prompt.kind {
        case .text(let text):
            hasher.add("text")
            hasher.add(text)
        case .tokens(let tokens):
            hasher.add("tokens")
            hasher.add(tokens.ids.map(String.init).joined(separator: ","))
        case .chat(let chat):
            hasher.add("chat")
            hasher.add(count: chat.messages.count)
            for message in chat.messages {
                for field in [
                    message.role, message.content, message.name, message.toolCallID, message.toolCallsJson,
                    message.reasoningContent,
                ] {
                    hasher.add(field)
                }
            }
            hasher.add(chat.toolsJson)
            hasher.add(chat.templateVariablesJson)
            hasher.add(chat.singleToolCall ? "single" : "")
        case nil:
            hasher.add("none")
        }
        add(request.sampling, to: &hasher)
    }

    private static func add(_ sampling: Fathom_Shard_V1_SamplingParameters, to hasher: inout LengthPrefixedHasher) {
        let numbers = [
            sampling.temperature, sampling.topP, sampling.minP, sampling.presencePenalty, sampling.frequencyPenalty,
            sampling.repetitionPenalty,
        ]
        for number in numbers { hasher.add(count: Int(bitPattern: UInt(number.bitPattern))) }
        hasher.add(count: Int(sampling.maxTokens))
        hasher.add(count: Int(sampling.topK))
        hasher.add(sampling.hasSeed ? String(sampling.seed) : "")
        hasher.add(count: Int(sampling.logprobs))
        hasher.add(count: Int(sampling.promptLogprobs))
        hasher.add(sampling.ignoreEos ? "ignore" : "")
        hasher.add(count: sampling.logitBias.count)
        for (token, bias) in sampling.logitBias.sorted(by: { $0.key < $1.key }) { hasher.add("\(token):\(bias)") }
        hasher.add(count: sampling.stop.count)
        for stop in sampling.stop { hasher.add(stop) }
        hasher.add(sampling.stopTokenIds.map(String.init).joined(separator: ","))
        hasher.add(sampling.forbiddenTokenIds.map(String.init).joined(separator: ","))
    }
}

/// SHA-256 over fields each preceded by its length, so that no two lists of fields are the same bytes.
private struct LengthPrefixedHasher {
    private var hash = SHA256()

    mutating func add(_ bytes: [UInt8]) {
        add(count: bytes.count)
        hash.update(data: bytes)
    }

    mutating func add(_ text: String) {
        add(Array(text.utf8))
    }

    mutating func add(count: Int) {
        withUnsafeBytes(of: Int64(count).littleEndian) { hash.update(bufferPointer: $0) }
    }

    func finish() -> [UInt8] { Array(hash.finalize()) }
}

/// Turns tenants into cache namespaces: HMAC with a secret that only this gateway knows, so that nobody can aim at
/// another tenant's entries by choosing a name.
package struct CacheNamespaces: Sendable {
    private let secret: [UInt8]

    /// - Parameters:
    ///   - secret: at least 32 bytes.
    package init(secret: [UInt8]) {
        precondition(secret.count >= 32, "the cache secret has \(secret.count) bytes; expected at least 32")
        self.secret = secret
    }

    /// Reads the secret file in `directory`, making it on first use.
    ///
    /// - Throws: a file error, or `GatewayError` when the file is too short to be a secret.
    package init(directory: String) throws {
        let path = directory + "/cache-secret"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        if !FileManager.default.fileExists(atPath: path) {
            var generator = SystemRandomNumberGenerator()
            let bytes = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            let attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
            guard FileManager.default.createFile(atPath: path, contents: Data(bytes), attributes: attributes) else {
                throw GatewayError(code: .stateUnavailable, message: "cannot create \(path)")
            }
        }
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        guard bytes.count >= 32 else {
            throw GatewayError(
                code: .stateUnavailable, message: "\(path) has \(bytes.count) bytes; expected 32 (delete it to renew)")
        }
        self.init(secret: bytes)
    }

    /// The namespace of a tenant, 32 bytes.
    package func namespace(of principal: Principal) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array(principal.tenant.utf8), using: SymmetricKey(data: secret)))
    }
}
