import RetrievalCore

/// What the encoder and the lexical index see of a chunk: its text below the titles of the sections it lies in.
///
/// The titles carry what a paragraph does not repeat ("Leave > Sick leave" over "Up to ten days."). They are not part of
/// the chunk's text, so spans and quotes stay exact. A title that the chunk itself starts with is not said twice.
enum IndexedText {
    /// Titles beyond this many bytes are left out, outermost first.
    static let maxHeadingBytes = 200

    /// Tokens of the encoder that are kept free for titles, as a share of what it reads.
    private static let headingShare = 8

    /// What the lexical index sees.
    static func make(text: String, headings: [String]) -> String {
        join(titles(above: text, headings), text)
    }

    /// What the encoder sees: of the titles, outermost first, those are left out that it would have no room for.
    ///
    /// - Throws: `invalidParameter` when the chunk alone is more than the encoder reads, which `chunking` prevents.
    static func embedded(text: String, headings: [String], by embedder: any TextEmbedder) throws -> String {
        var kept = titles(above: text, headings)
        while true {
            let joined = join(kept, text)
            let tokens = embedder.tokenCount(joined)
            if tokens <= embedder.maxTextTokens { return joined }
            guard !kept.isEmpty else {
                throw RetrievalError(
                    code: .invalidParameter,
                    message: "a chunk has \(tokens) tokens, and the encoder reads \(embedder.maxTextTokens)")
            }
            kept.removeFirst()
        }
    }

    /// How a document is cut: as asked for, but into chunks that the encoder reads to their end, below their titles. A file
    /// may be attached with larger chunks than that, as other services have them; it is then cut into more.
    static func chunking(_ wanted: Chunker.Parameters, for embedder: any TextEmbedder) -> Chunker.Parameters {
        let room = embedder.maxTextTokens - embedder.maxTextTokens / headingShare
        var parameters = wanted
        parameters.maxTokens = min(wanted.maxTokens, max(Chunker.Parameters.leastTokens, room))
        parameters.overlapTokens = min(wanted.overlapTokens, parameters.maxTokens / 2)
        return parameters
    }

    /// The titles that the text does not itself begin with, outermost first.
    private static func titles(above text: String, _ headings: [String]) -> [String] {
        var kept: [String] = []
        var bytes = 0
        for title in headings.reversed() {
            if text.prefix(title.count + 8).contains(title) { continue }
            bytes += title.utf8.count + 3
            if bytes > maxHeadingBytes { break }
            kept.append(title)
        }
        return kept.reversed()
    }

    private static func join(_ titles: [String], _ text: String) -> String {
        titles.isEmpty ? text : titles.joined(separator: " > ") + "\n" + text
    }
}
