import ArgumentParser
import Encoder
import Foundation
import ModelRegistry

/// `fathom bench retrieval`.
struct RetrievalBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retrieval", abstract: "Measures what search finds, for each kind of question of a set.",
        discussion: """
            Make a set with `python3 Benchmarks/retrieval/generate.py --seed 1 --out FILE`. In process, without a store: by \
            words, by vectors, by reciprocal ranks of both, and fused as the store does it.
            """)

    @Option(help: "Questions and documents, as generate.py writes them.")
    var set: String

    @Option(help: "Encoder: the name of an installed one.")
    var encoder = ModelCatalogue.defaultEncoder

    @Option(help: "Threads of the encoder (default: all processors).")
    var threads = ProcessInfo.processInfo.activeProcessorCount

    @Option(help: "Repeat the first kind's documents up to this many chunks, for times.")
    var chunks: Int?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        for (name, value, range) in [("threads", threads, 1...256), ("chunks", chunks ?? 1, 1...1_000_000)]
        where !range.contains(value) {
            throw ValidationError("--\(name) is \(value); expected \(range.lowerBound)...\(range.upperBound)")
        }
    }

    func run() async throws {
        var collections = try JSONDecoder().decode(
            [RetrievalBenchmark.Collection].self, from: Data(contentsOf: URL(fileURLWithPath: set)))
        if let chunks { collections = collections.prefix(1).map { RetrievalBenchmark.enlarged($0, to: chunks) } }
        let benchmark = RetrievalBenchmark(
            encoder: try SentenceEncoder(directory: ModelRegistry.standard().encoder(encoder), threads: threads))
        var outcomes: [RetrievalBenchmark.Outcome] = []
        for collection in collections { outcomes += try await benchmark.run(collection) }
        if json { try Terminal.json(outcomes) } else { Terminal.write(Self.table(outcomes)) }
    }

    private static func table(_ outcomes: [RetrievalBenchmark.Outcome]) -> String {
        var lines = [row("kind", "method", "recall@1", "MRR", "best score", "ms")]
        for outcome in outcomes {
            lines.append(
                row(
                    outcome.kind, outcome.method.rawValue, text(outcome.recallAt1), text(outcome.meanReciprocalRank),
                    text(outcome.bestScore), text(outcome.milliseconds)))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func row(_ cells: String...) -> String {
        zip(cells, [26, 16, 9, 7, 11, 8]).map { cell, width in
            cell.padding(toLength: max(width, cell.count), withPad: " ", startingAt: 0)
        }.joined(separator: " ")
    }

    private static func text(_ value: Double) -> String { String(format: "%.3f", value) }
}
