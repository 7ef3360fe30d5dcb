import ArgumentParser

/// The flags that every service shares; put into a command by `@OptionGroup`. All are optional without default, so
/// that a flag which was not given leaves the setting to the environment, the file and the default, in this order.
package struct CommonOptions: ParsableArguments {
    @Option(help: "YAML file with settings; flags and environment variables override it.")
    package var config: String?

    @Option(help: "Address to listen on (default 127.0.0.1).")
    package var host: String?

    @Option(help: "Port to listen on; 0 takes any free one.")
    package var port: Int?

    @Option(help: "Monitor to report to, HOST:PORT.")
    package var monitor: String?

    @Option(name: .customLong("log-level"), help: "trace, debug, info, notice, warning, error or critical.")
    package var logLevel: String?

    @Option(help: "Name of this process in the cluster (default: the kind of service).")
    package var instance: String?

    @Option(name: .customLong("ready-file"), help: "Written when the process listens: one line of JSON.")
    package var readyFile: String?

    @Option(name: .customLong("tls-certificate"), help: "PEM file with the certificate chain; switches TLS on.")
    package var tlsCertificate: String?

    @Option(name: .customLong("tls-key"), help: "PEM file with the private key.")
    package var tlsKey: String?

    @Option(name: .customLong("tls-trust-roots"), help: "PEM file with the authorities to trust.")
    package var tlsTrustRoots: String?

    @Option(
        name: .customLong("tls-require-client-certificate"),
        help: "true: clients must present a certificate of a trusted authority.")
    package var tlsRequireClientCertificate: Bool?

    @Option(name: .customLong("drain-timeout"), help: "Longest wait for work in flight at shutdown, such as 20s.")
    package var drainTimeout: String?

    @Flag(name: .customLong("print-settings"), help: "Print every setting and its bounds as JSON, and exit.")
    package var printsSettings = false

    package init() {}

    /// The options of a command line; for those who hold no command of their own, such as tests. (The memberwise
    /// `init()` belongs to ArgumentParser: its values may not be read before parsing.)
    package static func parsing(_ arguments: [String]) throws -> CommonOptions {
        try parse(arguments)
    }

    /// The flags by key. `config` is not among them: it says where the file is and cannot be in it.
    package var flags: ServiceFlags {
        [
            "host": host, "port": port, "monitor": monitor, "log-level": logLevel, "instance": instance,
            "ready-file": readyFile, "tls-certificate": tlsCertificate, "tls-key": tlsKey,
            "tls-trust-roots": tlsTrustRoots, "tls-require-client-certificate": tlsRequireClientCertificate,
            "drain-timeout": drainTimeout,
        ]
    }
}
