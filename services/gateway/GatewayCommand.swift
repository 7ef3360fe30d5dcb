import ArgumentParser
import GatewayServer
import ServiceSupport

@main
struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fathom-gateway",
        abstract: "Serves OpenAI's API in front of a Fathom cluster.",
        version: FathomVersion.current)

    @OptionGroup var common: CommonOptions

    @Option(help: "Head of a replica group, HOST:PORT[,HOST:PORT].")
    var inference: String?

    @Option(help: "Document store, HOST:PORT; without it there are no files, vector stores and embeddings.")
    var store: String?

    @Option(help: "File of API keys, made by `fathom key create`.")
    var keys: String?

    @Option(help: "Directory of the gateway's own: cache secret, uploads on their way.")
    var state: String?

    @Option(name: .customLong("max-concurrent-requests"), help: "Requests served at once (default 256).")
    var maxConcurrentRequests: Int?

    @Option(name: .customLong("request-deadline"), help: "Longest a request may take (default 600s).")
    var requestDeadline: String?

    @Option(name: .customLong("idle-timeout"), help: "Longest a connection may be silent (default 60s).")
    var idleTimeout: String?

    @Option(name: .customLong("header-timeout"), help: "Longest the head of a request may take (default 20s).")
    var headerTimeout: String?

    @Option(name: .customLong("body-timeout"), help: "Longest the body of a request may take (default 600s).")
    var bodyTimeout: String?

    @Option(name: .customLong("body-stall-timeout"), help: "Longest pause of a body (default 20s).")
    var bodyStallTimeout: String?

    @Option(name: .customLong("body-min-rate"), help: "Least bytes a second of a body (default 1024; 0: none).")
    var bodyMinRate: Int?

    @Option(name: .customLong("write-timeout"), help: "Longest a client may leave its answer unread (default 60s).")
    var writeTimeout: String?

    @Option(name: .customLong("ping-interval"), help: "Longest silence of an event stream (default 15s; 0: no bound).")
    var pingInterval: String?

    @Option(name: .customLong("max-connections"), help: "Open connections (default 4096).")
    var maxConnections: Int?

    @Option(
        name: .customLong("cors-allowed-origins"),
        help: "Origins of web pages that may use the API, separated by commas; * for all (default none).")
    var corsAllowedOrigins: String?

    @Option(name: .customLong("max-body-bytes"), help: "Largest JSON body (default 4194304).")
    var maxBodyBytes: Int?

    @Option(name: .customLong("max-upload-bytes"), help: "Largest uploaded file (default 67108864).")
    var maxUploadBytes: Int?

    @Option(help: "What a file_search puts before the model: passages or sentences (default passages).")
    var evidence: String?

    @Option(
        name: .customLong("embedding-token-ids"),
        help: "Whether embeddings take token ids: refused or allowed (default refused).")
    var embeddingTokenIDs: String?
    @Option(name: .customLong("probe-port"), help: "Plaintext port for probes alone (default: none).")
    var probePort: Int?

    @Option(
        name: .customLong("http-tls"), help: "Whose certificate the HTTP port shows: services, own or plaintext (none)."
    )
    var httpTLS: String?

    @Option(name: .customLong("http-tls-certificate"), help: "PEM file with the HTTP port's own certificate chain.")
    var httpTLSCertificate: String?

    @Option(name: .customLong("http-tls-key"), help: "PEM file with its private key.")
    var httpTLSKey: String?

    @Option(name: .customLong("http-tls-client-roots"), help: "PEM file: HTTP clients must be signed by one of these.")
    var httpTLSClientRoots: String?

    @Option(name: .customLong("cache-entries"), help: "Answers the response cache holds (default 4096; 0: off).")
    var cacheEntries: Int?

    @Option(name: .customLong("cache-bytes"), help: "Memory of the response cache (default 67108864; 0: off).")
    var cacheBytes: Int?

    func run() async throws {
        try await ServiceRunner.main(
            "gateway", options: common,
            flags: [
                "inference": inference, "store": store, "keys": keys, "state": state,
                "max-concurrent-requests": maxConcurrentRequests, "request-deadline": requestDeadline,
                "idle-timeout": idleTimeout, "header-timeout": headerTimeout, "body-timeout": bodyTimeout,
                "body-stall-timeout": bodyStallTimeout, "body-min-rate": bodyMinRate,
                "write-timeout": writeTimeout, "ping-interval": pingInterval, "max-connections": maxConnections,
                "cors-allowed-origins": corsAllowedOrigins, "max-body-bytes": maxBodyBytes,
                "max-upload-bytes": maxUploadBytes, "probe-port": probePort, "http-tls": httpTLS,
                "http-tls-certificate": httpTLSCertificate, "http-tls-key": httpTLSKey,
                "http-tls-client-roots": httpTLSClientRoots, "evidence": evidence,
                "embedding-token-ids": embeddingTokenIDs, "cache-entries": cacheEntries,
                "cache-bytes": cacheBytes,
            ],
            defaultPort: GatewayConfiguration.defaultPort, describe: { _ = try GatewayConfiguration($0) }
        ) { process in
            try Gateway.services(process)
        }
    }
}
