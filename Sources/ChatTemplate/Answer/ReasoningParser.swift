/// Tells reasoning from answer in text that comes in pieces, and never lets half a tag out.
///
/// White space next to the tags belongs to neither side. An answer that ends inside the reasoning has no content.
package struct ReasoningParser: Sendable {
    private enum State {
        /// Nothing but white space, or a part of the tag, has come.
        case undecided
        /// The reasoning has been opened, and only white space, or the opening tag once more, has come.
        case opening
        case reasoning
        /// The reasoning has been closed, and only white space has come.
        case closing
        case content
    }

    private static let start = Array(Marker.thinkStart.utf8)
    private static let end = Array(Marker.thinkEnd.utf8)

    private var state: State
    private var held: [UInt8] = []

    /// How an answer begins.
    package enum Beginning: Sendable {
        /// With `<think>`, if the model reasons.
        case asTheModelLikes
        /// The prompt has opened the reasoning already.
        case insideReasoning
        /// No reasoning is expected.
        case content
    }

    package init(_ beginning: Beginning) {
        switch beginning {
        case .asTheModelLikes: state = .undecided
        case .insideReasoning: state = .opening
        case .content: state = .content
        }
    }

    /// Whether what comes next is reasoning, as far as is known.
    package var isReasoning: Bool {
        switch state {
        case .opening, .reasoning: true
        case .undecided, .closing, .content: false
        }
    }

    /// Takes a piece of text, whole characters.
    ///
    /// - Returns: what is safe to show: reasoning and content only.
    package mutating func append(_ text: String) -> [AnswerPiece] {
        if state == .content { return text.isEmpty ? [] : [.content(text)] }
        held += text.utf8
        var pieces: [AnswerPiece] = []
        while true {
            switch advance() {
            case .waits: return pieces
            case .moves: break
            case .gives(let piece): pieces.append(piece)
            }
        }
    }

    /// What was held back, when no more comes.
    package mutating func finish() -> [AnswerPiece] {
        defer { held = [] }
        let isBlank = held.allSatisfy(MarkerSearch.isSpace)
        let text = String(decoding: held, as: UTF8.self)
        switch state {
        case .undecided, .content: return held.isEmpty ? [] : [.content(text)]
        case .opening, .reasoning: return isBlank ? [] : [.reasoning(text)]
        case .closing: return []
        }
    }

    /// What one transition came to.
    private enum Step {
        /// More text is needed, or there is none left.
        case waits
        case moves
        case gives(AnswerPiece)
    }

    private mutating func advance() -> Step {
        switch state {
        case .undecided, .opening: return open()
        case .reasoning: return reason()
        case .closing:
            held.removeFirst(MarkerSearch.skippingSpace(held))
            guard !held.isEmpty else { return .waits }
            state = .content
            return .moves
        case .content: return held.isEmpty ? .waits : .gives(.content(take(held.count)))
        }
    }

    private mutating func open() -> Step {
        let first = MarkerSearch.skippingSpace(held)
        let rest = held[first...]
        if rest.starts(with: Self.start) {
            held.removeFirst(first + Self.start.count)
            state = .opening
            return .moves
        }
        if Self.start.starts(with: rest) { return .waits }
        if state == .opening { held.removeFirst(first) }
        state = state == .undecided ? .content : .reasoning
        return .moves
    }

    private mutating func reason() -> Step {
        if let (tag, _) = MarkerSearch.first(of: [Self.end], in: held) {
            let space = MarkerSearch.trailingSpaceLength(held, before: held.count - tag.lowerBound)
            let text = take(tag.lowerBound - space)
            held.removeFirst(space + Self.end.count)
            state = .closing
            return text.isEmpty ? .moves : .gives(.reasoning(text))
        }
        let partial = MarkerSearch.partialSuffixLength(of: [Self.end], in: held)
        let space = MarkerSearch.trailingSpaceLength(held, before: partial)
        let safe = held.count - partial - space
        return safe > 0 ? .gives(.reasoning(take(safe))) : .waits
    }

    private mutating func take(_ count: Int) -> String {
        defer { held.removeFirst(count) }
        return String(decoding: held[..<count], as: UTF8.self)
    }
}
