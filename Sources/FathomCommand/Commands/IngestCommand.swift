import ArgumentParser
import Foundation
import NIOCore

/// `fathom ingest`.
struct IngestCommand: AsyncParsableCommand {
    /// Longest silence of the store: no file finished for so long.
    static let stallDeadline = Duration.seconds(300)

    static let configuration = CommandConfiguration(
        commandName: "ingest", abstract: "Puts documents (.txt, .md, .html) into a vector store to ask about.")

    @OptionGroup var gateway: GatewayOptions

    @Argument(help: "Files and folders.")
    var paths: [String]

    @Option(help: "Name of the vector store; made when missing.")
    var store = "default"

    func run() async throws {
        let documents = try DocumentFinder.find(paths)
        guard !documents.isEmpty else {
            throw CommandError(.invalidArgument, "no document (.txt, .md, .html) in \(paths.joined(separator: ", "))")
        }
        try await gateway.withGateway { client, _ in
            let id: String
            if let existing = try await client.findVectorStore(named: store) {
                id = existing
            } else {
                id = try await client.createVectorStore(named: store)
            }
            var files: [(id: String, name: String)] = []
            for (path, name) in documents {
                Terminal.progress("uploading \(files.count + 1) of \(documents.count)  \(name)")
                guard let content = FileManager.default.contents(atPath: path) else {
                    throw CommandError(.fileUnavailable, "cannot read \(path)")
                }
                let file = try await client.upload(filename: name, content: ByteBuffer(bytes: content))
                try await client.attach(file: file, to: id)
                files.append((file, name))
            }
            let outcome = try await waitForIndexing(files, store: id, client: client)
            Terminal.endProgress()
            for failure in outcome.failures { Terminal.note("failed: \(failure)") }
            Terminal.write(
                "\(files.count - outcome.failures.count) of \(files.count) documents, \(outcome.chunks) chunks in "
                    + "\"\(store)\" (\(id))\n")
            if !outcome.failures.isEmpty { throw ExitCode(1) }
        }
    }

    private func waitForIndexing(
        _ files: [(id: String, name: String)], store: String, client: GatewayClient
    ) async throws -> (chunks: Int, failures: [String]) {
        var waiting = files
        var chunks = 0
        var failures: [String] = []
        var deadline = ContinuousClock.now + Self.stallDeadline
        while let next = waiting.last {
            let state = try await client.vectorStoreFile(next.id, in: store)
            if state.status == "in_progress" {
                guard ContinuousClock.now < deadline else {
                    throw CommandError(.timedOut, "\(next.name) was not chunked within \(Self.stallDeadline)")
                }
                Terminal.progress("chunking \(files.count - waiting.count + 1) of \(files.count)")
                try await Task.sleep(for: .milliseconds(50))
                continue
            }
            waiting.removeLast()
            deadline = .now + Self.stallDeadline
            if state.status == "completed" {
                chunks += state.chunkCount ?? 0
            } else {
                failures.append("\(next.name): \(state.lastError?.message ?? state.status)")
            }
        }
        return (chunks, failures)
    }
}
