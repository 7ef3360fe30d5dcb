/// Cuts a chat answer, as it comes, into reasoning, content and tool calls.
///
/// The pieces do not depend on how the text was cut. A value that is driven by one task.
package struct AnswerParser: Sendable {
    private var reasoning: ReasoningParser
    /// nil when no tools were offered: what looks like a call is content.
    private var calls: ToolCallParser?
    private let allowsParallelCalls: Bool
    /// Set when no more than what has come is wanted; the rest is dropped.
    package private(set) var isComplete = false

    /// - Parameters:
    ///   - prompt: what the answer follows; its end says whether the reasoning has begun already.
    ///   - toolNames: of the tools that were offered; empty: none were.
    ///   - allowsParallelCalls: false: the first call ends the answer.
    package init(format: ChatFormat, prompt: RenderedPrompt, toolNames: Set<String>, allowsParallelCalls: Bool) {
        reasoning = ReasoningParser(format.beginning(after: prompt))
        calls = toolNames.isEmpty ? nil : ToolCallParser(style: format.toolCalls, toolNames: toolNames)
        self.allowsParallelCalls = allowsParallelCalls
    }

    /// Whether what comes next is reasoning, as far as is known.
    package var isReasoning: Bool { reasoning.isReasoning }

    /// Whether a call has been given.
    package var hasCalls: Bool { calls?.hasCalls ?? false }

    /// Takes a piece of text, whole characters, and gives what is settled.
    package mutating func append(_ text: String) -> [AnswerPiece] {
        guard !isComplete else { return [] }
        return pieces(reasoning.append(text))
    }

    /// What was held back, when no more comes.
    package mutating func finish() -> [AnswerPiece] {
        guard !isComplete else { return [] }
        var result = pieces(reasoning.finish())
        if !isComplete { result += bounded(calls?.finish() ?? []) }
        return result
    }

    private mutating func pieces(_ parts: [AnswerPiece]) -> [AnswerPiece] {
        var result: [AnswerPiece] = []
        for part in parts where !isComplete {
            if case .content(let text) = part, calls != nil {
                result += bounded(calls?.append(text) ?? [])
            } else {
                result.append(part)
            }
        }
        return result
    }

    /// Up to the first call when only one is wanted.
    private mutating func bounded(_ pieces: [AnswerPiece]) -> [AnswerPiece] {
        guard !allowsParallelCalls else { return pieces }
        guard let first = pieces.firstIndex(where: { if case .toolCall = $0 { true } else { false } }) else {
            return pieces
        }
        isComplete = true
        return Array(pieces[...first])
    }
}

extension ChatFormat {
    /// How an answer to `prompt` begins: the template may have written a tag of its own at the prompt's end.
    package func beginning(after prompt: RenderedPrompt) -> ReasoningParser.Beginning {
        guard reasons else { return .content }
        let bytes = Array(prompt.text.utf8)
        let end = bytes.count - MarkerSearch.trailingSpaceLength(bytes, before: 0)
        for (tag, beginning) in [
            (Marker.thinkStart, ReasoningParser.Beginning.insideReasoning), (Marker.thinkEnd, .content),
        ] where bytes[..<end].suffix(tag.utf8.count).elementsEqual(tag.utf8) {
            // A tag that a user wrote opens nothing.
            let start = end - tag.utf8.count
            guard prompt.untrusted.last.map({ $0.upperBound <= start }) ?? true else { continue }
            return beginning
        }
        return .asTheModelLikes
    }
}
