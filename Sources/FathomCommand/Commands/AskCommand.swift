import ArgumentParser
import Foundation

/// `fathom ask`.
struct AskCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask", abstract: "Answers a question from ingested documents, then says which.")

    @OptionGroup var gateway: GatewayOptions

    @Argument(help: "The question.")
    var question: String

    @Option(help: "Name of the vector store.")
    var store = "default"

    @Option(name: .customLong("max-tokens"), help: "Longest answer.")
    var maxTokens = 200

    @Option(help: "0 is the same answer every time.")
    var temperature = 0.0

    @Option(help: "Most passages to answer from.")
    var passages: Int?

    func validate() throws {
        guard maxTokens > 0 else { throw ValidationError("--max-tokens is \(maxTokens); expected 1 or more") }
        guard (0...2).contains(temperature) else {
            throw ValidationError("--temperature is \(temperature); expected 0...2")
        }
        guard !question.trimmingCharacters(in: .whitespacesAndNewlines).isEmpty else {
            throw ValidationError("the question is empty")
        }
    }

    func run() async throws {
        try await gateway.withGateway { client, model in
            guard let id = try await client.findVectorStore(named: store) else {
                throw CommandError(
                    .invalidArgument,
                    "there is no vector store \"\(store)\"; make one with `fathom ingest --store \(store) PATH`")
            }
            let request = ChatRequest(
                model: model, messages: [ChatMessage(role: "user", content: question)], maxTokens: maxTokens,
                temperature: temperature, tools: [.init(vectorStoreIDs: [id], maximumResults: passages)])
            var sources: [SourceLine] = []
            var passages: [ChatChunk.Extension.Source] = []
            try await client.streamChat(request) { chunk in
                passages += chunk.fathom?.sources ?? []
                for choice in chunk.choices ?? [] {
                    Terminal.write(choice.delta?.content ?? "")
                    for citation in choice.delta?.annotations?.compactMap(\.fileCitation) ?? [] {
                        let source = SourceLine(filename: citation.filename, quote: citation.quote ?? "")
                        if !sources.contains(source) { sources.append(source) }
                    }
                }
            }
            // An answer in the model's own words quotes nothing; what it was made from is said then.
            if sources.isEmpty {
                sources = passages.map { SourceLine(filename: $0.filename, quote: $0.text) }
            }
            Terminal.write("\n" + SourceLine.text(sources))
        }
    }
}

/// Where an answer comes from.
struct SourceLine: Equatable {
    /// Longest quote shown, in characters.
    static let maximumQuote = 240

    var filename: String
    var quote: String

    /// Numbered lines, or one that says there are none.
    static func text(_ sources: [SourceLine]) -> String {
        guard !sources.isEmpty else { return "\nNo document says anything about this.\n" }
        let lines = sources.enumerated().map { index, source in
            let quote = source.quote.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            let short = quote.count > maximumQuote ? quote.prefix(maximumQuote) + "…" : quote[...]
            return "  [\(index + 1)] \(TerminalText.line(source.filename)): \"\(short)\"\n"
        }
        return "\nSources:\n" + lines.joined()
    }
}
