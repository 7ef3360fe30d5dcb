import ArgumentParser
import Logging
import Wire

/// `fathom bench wire`.
struct WireBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wire", abstract: "Times a ping-pong on loopback: the wire against blocking sockets, in one run.")

    @Option(help: "Round trips of each transport.")
    var rounds = 20_000

    @Option(help: "Bytes each way.")
    var bytes = 4096

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard (1...10_000_000).contains(rounds) else {
            throw ValidationError("--rounds is \(rounds); expected 1...10000000")
        }
        guard (1...1 << 20).contains(bytes) else {
            throw ValidationError("--bytes is \(bytes); expected 1...\(1 << 20)")
        }
    }

    private struct Figure: Encodable {
        var transport: String
        var p50: Double
        var p99: Double
        /// p50 over that of blocking sockets in the same run.
        var ratio: Double

        enum CodingKeys: String, CodingKey {
            case transport, ratio
            case p50 = "p50_us"
            case p99 = "p99_us"
        }
    }

    private struct Report: Encodable {
        var rounds: Int
        var bytes: Int
        var transports: [Figure]
    }

    func run() async throws {
        let logger = Logger(label: "fathom", factory: { _ in SwiftLogNoOpLogHandler() })
        let latencies = try await PingPong.run(rounds: rounds, payloadBytes: bytes, logger: logger)
        let base = latencies.first { $0.transport == .blockingSockets }?.percentile(0.5) ?? .zero
        let figures = latencies.map { latency in
            let median = latency.percentile(0.5)
            return Figure(
                transport: latency.transport.rawValue, p50: median / .microseconds(1),
                p99: latency.percentile(0.99) / .microseconds(1), ratio: base == .zero ? 0 : median / base)
        }
        if json {
            try Terminal.json(Report(rounds: rounds, bytes: bytes, transports: figures))
            return
        }
        var table = TextTable(header: ["TRANSPORT", "P50", "P99", "OF BLOCKING SOCKETS"])
        for figure in figures {
            table.add([
                figure.transport, NumberText.format(figure.p50, "µs"), NumberText.format(figure.p99, "µs"),
                NumberText.format(figure.ratio, "×"),
            ])
        }
        Terminal.write("\(bytes) bytes each way, \(rounds) round trips\n" + table.text)
    }
}
