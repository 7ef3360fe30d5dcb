/// Puts evidence into a conversation.
///
/// Tuned for small instruct models with short contexts: few and short sources, best first, in the same turn as the
/// question and before it, with one plain instruction; long rules in a system message are what such models ignore.
package enum EvidencePrompt {
    /// Most chunks given to the model.
    package static let maximumChunkCount = 4
    /// Most bytes of source text, about 700 tokens of English.
    package static let maximumByteCount = 2_800
    /// Most bytes of one source.
    package static let maximumChunkByteCount = 1_200

    /// The chunks that fit, best first, without repeats.
    ///
    /// - Parameters:
    ///   - results: sorted by score, greatest first.
    ///   - limit: what the request asked for, at most `maximumChunkCount` of which are used.
    package static func select(_ results: [Evidence], limit: Int) -> [Evidence] {
        var selected: [Evidence] = []
        var remaining = maximumByteCount
        for result in results where selected.count < min(limit, maximumChunkCount) {
            guard !selected.contains(where: { $0.sha256 == result.sha256 && $0.text == result.text }) else { continue }
            let size = min(result.text.utf8.count, maximumChunkByteCount)
            guard size > 0, size <= remaining else { continue }
            remaining -= size
            selected.append(result)
        }
        return selected
    }

    /// The messages with the last user message carrying the sources and the question. Without evidence they stay as
    /// they are, but for one sentence that keeps the model from inventing a source.
    package static func messages(_ messages: [ChatRequest.Message], evidence: [Evidence]) -> [ChatRequest.Message] {
        guard let index = messages.lastIndex(where: { $0.role == "user" }) else { return messages }
        var result = messages
        let question = messages[index].content
        guard !evidence.isEmpty else {
            result[index].content =
                "\(question)\n\n(No document says anything about this. If you do not know the answer, say so.)"
            return result
        }
        if evidence.allSatisfy({ $0.keySentence != nil }) {
            // The nearest sentence last, next to the question.
            let sentences = evidence.reversed().compactMap(\.keySentence).map(KeySentences.collapsed)
            result[index].content = "\(sentences.joined(separator: " "))\n\n\(question)"
            return withExamples(result)
        }
        var text = "Use these sources to answer the question.\n"
        for (number, item) in evidence.enumerated() {
            text += "\n[\(number + 1)] \(title(item))\n\(cut(item.text))\n"
        }
        text += "\nQuestion: \(question)\nAnswer briefly, using only facts from the sources."
        result[index].content = text
        return result
    }

    /// Shows a small model what is wanted rather than telling it: two made-up questions answered from two sentences. Both
    /// stand before the conversation; a system message of the client's own stays the first.
    private static func withExamples(_ messages: [ChatRequest.Message]) -> [ChatRequest.Message] {
        var result = messages
        if result.first?.role != "system" {
            result.insert(
                ChatRequest.Message(
                    role: "system",
                    content: "You answer questions about company documents, briefly and with the facts of the text."),
                at: 0)
        }
        result.insert(contentsOf: examples, at: 1)
        return result
    }

    private static let examples = [
        ChatRequest.Message(
            role: "user",
            content: "Small dogs stay on a lead. You may bring a dog on up to 2 afternoons a month.\n\n"
                + "How often may I bring my dog?"),
        ChatRequest.Message(role: "assistant", content: "You may bring a dog on up to 2 afternoons a month."),
        ChatRequest.Message(
            role: "user",
            content: "Visitors sign in at the front desk. The museum opens at 8 and closes at 18.\n\n"
                + "When does the museum close?"),
        ChatRequest.Message(role: "assistant", content: "The museum closes at 18."),
    ]

    /// Longest text the store takes as one query, in bytes.
    static let maximumQueryByteCount = 4_096
    /// Most queries of one search.
    static let maximumQueryCount = 8

    /// What is searched for: the last user message, all of it. A long one is several queries, cut between words where
    /// there are any; the question is most often in the last of them. Empty when there is nothing to search for.
    ///
    /// - Throws: 400 for a message beyond what the store takes in all.
    package static func queries(_ messages: [ChatRequest.Message]) throws(APIError) -> [String] {
        guard let message = messages.last(where: { $0.role == "user" }) else { return [] }
        let limit = maximumQueryByteCount * maximumQueryCount
        var queries: [String] = []
        var rest = message.content[...]
        while !rest.isEmpty {
            guard queries.count < maximumQueryCount else {
                throw .invalid(
                    "The last user message has \(message.content.utf8.count) bytes; a 'file_search' takes about \(limit) "
                        + "at most, and searches for all of them.", parameter: "messages", code: "invalid_value")
            }
            let query = leadingQuery(rest)
            rest = rest[query.endIndex...]
            if !query.allSatisfy(\.isWhitespace) { queries.append(String(query)) }
        }
        return queries
    }

    /// The longest beginning that fits a query, never empty, up to its last white space when something follows.
    private static func leadingQuery(_ text: Substring) -> Substring {
        guard text.utf8.count > maximumQueryByteCount else { return text }
        var end = text.utf8.index(text.startIndex, offsetBy: maximumQueryByteCount)
        // Between code points, because one character may be longer than a query.
        while text.utf8[end] & 0xC0 == 0x80 { end = text.utf8.index(before: end) }
        let longest = text[..<end]
        guard let space = longest.lastIndex(where: \.isWhitespace), space > longest.startIndex else { return longest }
        return longest[..<space]
    }

    private static func title(_ item: Evidence) -> String {
        ([item.filename] + item.headings.suffix(2)).joined(separator: " > ")
    }

    private static func cut(_ text: String) -> String {
        String(prefix(text[...], byteCount: maximumChunkByteCount))
    }

    /// The longest prefix of whole characters of at most `byteCount` bytes.
    private static func prefix(_ text: Substring, byteCount: Int) -> Substring {
        guard text.utf8.count > byteCount else { return text }
        var size = 0
        let end = text.indices.first { index in
            size += text[index].utf8.count
            return size > byteCount
        }
        return text[..<(end ?? text.endIndex)]
    }
}
