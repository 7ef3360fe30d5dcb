import ServiceSupport
import Wire

/// Settings of a gateway, checked. Configuration keys, beside the common ones:
/// - `inference`: head of a replica group, HOST:PORT[,HOST:PORT]; needed.
/// - `store`: HOST:PORT; not set: no files, vector stores, embeddings and file search.
/// - `keys`: the file of API keys; needed.
/// - `state`: directory for the cache secret and for uploads on their way; needed.
/// - `max-concurrent-requests`: 1...100000, default 256.
/// - `request-deadline`: longest a request may take, default 600s.
/// - `idle-timeout`: longest a connection may be silent between requests, default 60s.
/// - `header-timeout`, `body-timeout`, `body-stall-timeout`, `body-min-rate`, `write-timeout`, `ping-interval`,
///   `max-connections`: see ``HTTPLimits``; defaults 20s, 600s, 20s, 1024 bytes a second, 60s, 15s and 4096.
/// - `cors-allowed-origins`: web pages that may use the API, see ``CORSPolicy``; default none.
/// - `max-body-bytes`: of JSON bodies, default 4 MiB.
/// - `max-upload-bytes`: of one file, default 64 MiB.
/// - `probe-port`: 1...65535, plaintext, for `/livez`, `/readyz/gateway`, `/readyz` and `/metrics`; not set: none.
/// - `http-tls`, `http-tls-certificate`, `http-tls-key`, `http-tls-client-roots`: TLS of the HTTP port, see
///   `ServiceConfiguration.httpTLS()`.
/// - `evidence`: passages or sentences, see ``EvidenceDetail``; default passages.
/// - `embedding-token-ids`: refused or allowed, see ``EmbeddingTokens``; default refused.
/// - `cache-entries`, `cache-bytes`: bounds of the response cache, defaults 4096 and 64 MiB; 0 switches it off.
package struct GatewayConfiguration: Sendable {
    /// When nothing sets one.
    package static let defaultPort = 8080
    /// 4 MiB.
    package static let defaultBodyLimit = 4 << 20
    /// 64 MiB.
    package static let defaultUploadLimit = 64 << 20

    package var host = "127.0.0.1"
    /// 0 takes any free port.
    package var port = 0
    /// Of the HTTP port; nil: plaintext.
    package var tls: WireTLSConfiguration?
    /// Of the plaintext port for probes; nil: none.
    package var probePort: Int?
    package var keyFilePath: String
    package var stateDirectory: String
    package var maximumConcurrentRequests = 256
    package var requestDeadline = Duration.seconds(600)
    package var idleTimeout = Duration.seconds(60)
    /// How slow clients may be.
    package var http = HTTPLimits()
    /// Origins of web pages; "*" for all.
    package var corsAllowedOrigins: [String] = []
    package var maximumBodySize = defaultBodyLimit
    package var maximumUploadSize = defaultUploadLimit
    package var evidenceDetail = EvidenceDetail.passages
    package var embeddingTokens = EmbeddingTokens.refused
    package var cacheEntryCount = 4_096
    package var cacheSize = 64 << 20
    /// Time between looks at the head.
    package var pollInterval = Duration.milliseconds(100)
    /// Longest a look at the head may take.
    package var pollTimeout = Duration.milliseconds(500)

    /// Defaults for everything but the two paths that have none.
    package init(keyFilePath: String, stateDirectory: String) {
        self.keyFilePath = keyFilePath
        self.stateDirectory = stateDirectory
    }

    /// Reads the settings of a process.
    ///
    /// - Throws: `ConfigurationError` naming the key, where it came from and what was expected.
    package init(_ settings: ServiceConfiguration) throws {
        keyFilePath = try settings.requiredString("keys", hint: "the file made by `fathom key create`")
        stateDirectory = try settings.requiredString("state", hint: "a directory of the gateway's own")
        host = settings.common.host
        port = settings.common.port
        tls = try settings.httpTLS()
        probePort = try settings.int("probe-port", in: 1...65_535)
        maximumConcurrentRequests = try settings.int("max-concurrent-requests", default: 256, in: 1...100_000)
        requestDeadline = try settings.duration(
            "request-deadline", default: .seconds(600), in: .seconds(1)...(.seconds(86_400)))
        idleTimeout = try settings.duration("idle-timeout", default: .seconds(60), in: .seconds(1)...(.seconds(3_600)))
        http.headerTimeout = try settings.duration(
            "header-timeout", default: http.headerTimeout, in: .seconds(1)...(.seconds(3_600)))
        http.bodyTimeout = try settings.duration(
            "body-timeout", default: http.bodyTimeout, in: .seconds(1)...(.seconds(86_400)))
        http.bodyStallTimeout = try settings.duration(
            "body-stall-timeout", default: http.bodyStallTimeout, in: .seconds(1)...(.seconds(3_600)))
        http.bodyMinimumRate = try settings.int("body-min-rate", default: http.bodyMinimumRate, in: 0...(1 << 30))
        http.writeTimeout = try settings.duration(
            "write-timeout", default: http.writeTimeout, in: .seconds(1)...(.seconds(3_600)))
        http.pingInterval = try settings.duration(
            "ping-interval", default: http.pingInterval, in: .zero...(.seconds(3_600)))
        http.maximumConnections = try settings.int(
            "max-connections", default: http.maximumConnections, in: 1...1_000_000)
        corsAllowedOrigins = try settings.strings("cors-allowed-origins")
        guard CORSPolicy(origins: corsAllowedOrigins) != nil else {
            throw settings.invalid(
                "cors-allowed-origins", expected: "*, or origins such as https://app.example, separated by commas")
        }
        maximumBodySize = try settings.int("max-body-bytes", default: Self.defaultBodyLimit, in: 1_024...(1 << 30))
        maximumUploadSize = try settings.int(
            "max-upload-bytes", default: Self.defaultUploadLimit, in: 1_024...(1 << 40))
        evidenceDetail = try settings.choice("evidence", default: EvidenceDetail.passages)
        embeddingTokens = try settings.choice("embedding-token-ids", default: EmbeddingTokens.refused)
        cacheEntryCount = try settings.int("cache-entries", default: 4_096, in: 0...10_000_000)
        cacheSize = try settings.int("cache-bytes", default: 64 << 20, in: 0...(1 << 40))
    }
}
