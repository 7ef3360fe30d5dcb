import ArgumentParser
import Foundation

/// `fathom ingest`.
struct IngestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingest", abstract: "Puts documents (.txt, .md, .html) into a vector store to ask about.",
        discussion: """
            A document is known by its path: one whose bytes are there already is skipped, a changed one replaces its \
            old version once it is indexed. What cannot be ingested is named with the reason, the others are, and the \
            exit status is 1. Hidden files are left out; links to folders are not followed.
            """)

    @OptionGroup var gateway: GatewayOptions

    @Argument(help: "Files and folders.")
    var paths: [String]

    @Option(help: "Name of the vector store; made when missing.")
    var store = "default"

    @Flag(help: "Remove documents that were ingested from the given folders and are not there any more.")
    var sync = false

    @Option(
        help: """
            Know documents by their path below this folder instead of their absolute path, so that another machine or \
            checkout updates the same documents.
            """)
    var root: String?

    func run() async throws {
        let listing = try DocumentFinder.find(paths, root: root)
        if listing.documents.isEmpty && !sync { try refuse(listing) }
        try await gateway.withGateway { client, _ in
            let id: String
            if let existing = try await client.findVectorStore(named: store) {
                id = existing
            } else if listing.documents.isEmpty {
                return try refuse(listing)
            } else {
                id = try await client.createVectorStore(named: store)
            }
            var ingestion = try await Ingestion(client: client, store: id)
            try await ingestion.run(listing, removesGone: sync)
            let report = ingestion.report
            Self.name(report.skipped, "skipped")
            Self.name(report.failures, "failed")
            let total = listing.documents.count + listing.failures.count
            let there = report.added + report.changed + report.unchanged
            Terminal.write(
                "\(there) of \(total) documents, \(report.chunks) new chunks in \"\(store)\" (\(id))\n"
                    + report.summary + "\n")
            if !report.isComplete { throw ExitCode(1) }
        }
    }

    /// Ends a command that found nothing, and says what it found instead.
    private func refuse(_ listing: DocumentListing) throws {
        Self.name(listing.skipped, "skipped")
        Self.name(listing.failures, "failed")
        let places = paths.joined(separator: ", ")
        throw CommandError(.invalidArgument, "no document (.txt, .md, .html) in \(places)")
    }

    private static func name(_ entries: [SetAside], _ what: String) {
        for entry in entries { Terminal.note(TerminalText.line("\(what): \(entry.name): \(entry.reason)")) }
    }
}
