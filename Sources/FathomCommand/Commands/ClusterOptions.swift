import ArgumentParser
import Foundation

/// Which home; for commands that need the files of a cluster on this machine.
struct HomeOptions: ParsableArguments {
    @Option(help: "Folder of the cluster (default: $FATHOM_HOME, else ~/.fathom/home).")
    var home: String?

    var directory: HomeDirectory { HomeDirectory.resolve(home) }
}

/// Which gateway; for commands that work against a cluster anywhere.
struct GatewayOptions: ParsableArguments {
    @OptionGroup var home: HomeOptions

    @Option(help: "Gateway to use, http://HOST:PORT (default: $FATHOM_URL, else the cluster of --home).")
    var url: String?

    @Option(help: "API key (default: $FATHOM_API_KEY, else that of --home).")
    var key: String?

    @Option(help: "Model to ask (default: the first text model the gateway lists).")
    var model: String?

    /// Runs `body` with a client and the name of the model.
    func withGateway<Result>(
        connections: Int = 8, _ body: (GatewayClient, String) async throws -> Result
    ) async throws -> Result {
        let environment = ProcessInfo.processInfo.environment
        var url = url ?? environment["FATHOM_URL"]
        var key = key ?? environment["FATHOM_API_KEY"]
        var model = model
        if url == nil {
            let cluster = try ClusterFile.load(home.directory)
            guard let gateway = cluster.gatewayURL else {
                throw CommandError(.notRunning, "the cluster of \(home.directory.path) has no gateway")
            }
            url = gateway
            key = key ?? cluster.apiKey
            model = model ?? cluster.model
        }
        return try await GatewayClient.with(baseURL: url ?? "", apiKey: key, connections: connections) { client in
            guard let model else {
                let models: ListObject<ObjectID> = try await client.get("/v1/models")
                guard let first = models.data.first else {
                    throw CommandError(.requestFailed, "the gateway lists no model; is it ready?")
                }
                return try await body(client, first.id)
            }
            return try await body(client, model)
        }
    }
}

/// What goes to the terminal.
enum Terminal {
    static var isInteractive: Bool { isatty(STDERR_FILENO) == 1 }

    /// Text as it is, at once.
    static func write(_ text: String) {
        FileHandle.standardOutput.write(Data(text.utf8))
    }

    /// A line for people, not for pipes.
    static func note(_ text: String) {
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }

    /// A line that replaces itself; nothing when nobody watches.
    static func progress(_ text: String) {
        if isInteractive { FileHandle.standardError.write(Data("\r\u{1b}[K\(text)".utf8)) }
    }

    /// Removes the line of `progress`.
    static func endProgress() {
        if isInteractive { FileHandle.standardError.write(Data("\r\u{1b}[K".utf8)) }
    }

    static func json(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        write(String(decoding: try encoder.encode(value), as: UTF8.self) + "\n")
    }
}

/// A table with columns as wide as they need to be.
struct TextTable {
    private var rows: [[String]]

    init(header: [String]) {
        rows = [header]
    }

    mutating func add(_ row: [String]) { rows.append(row) }

    var text: String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { index, cell in
                index == row.count - 1 ? cell : cell.padding(toLength: widths[index], withPad: " ", startingAt: 0)
            }
            return cells.joined(separator: "  ") + "\n"
        }.joined()
    }
}

/// Numbers for people.
enum NumberText {
    /// One digit after the point above 10, two below.
    static func format(_ value: Double, _ unit: String) -> String {
        String(format: value >= 10 ? "%.1f" : "%.2f", value) + " " + unit
    }
}
