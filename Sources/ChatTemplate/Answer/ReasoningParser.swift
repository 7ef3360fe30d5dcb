/// Tells reasoning from answer in text that comes in pieces, and never lets half a tag out.
///
/// White space next to the tags belongs to neither side. An answer that ends inside the reasoning has no content.
///
/// A closing tag that nothing opened is a slip of the model, and no text: at the start it closes an empty reasoning; later,
/// on a line of its own, it is left out. What stands before it stays content, as it may have been shown already. Where the
/// answer has written `<think>` as text before, tags are text: it speaks of them.
package struct ReasoningParser: Sendable {
    private enum State {
        /// Nothing but white space, or a part of the tag, has come.
        case undecided
        /// The reasoning has been opened, and only white space, or the opening tag once more, has come.
        case opening
        case reasoning
        /// The reasoning has been closed, and only white space has come.
        case closing
        /// Content in which a closing tag may stand alone.
        case guarded
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
        case .undecided, .closing, .guarded, .content: false
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
        if state == .guarded, let tag = loneTagAtEnd() { held.removeSubrange(tag) }
        let isBlank = held.allSatisfy(MarkerSearch.isSpace)
        let text = String(decoding: held, as: UTF8.self)
        switch state {
        case .undecided, .guarded, .content: return held.isEmpty ? [] : [.content(text)]
        case .opening, .reasoning: return isBlank ? [] : [.reasoning(text)]
        case .closing: return isBlank ? [] : [.content(text)]
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
            if held.starts(with: Self.end) {
                held.removeFirst(Self.end.count)
                return .moves
            }
            // Nothing more, or a part of the tag once more.
            guard !Self.end.starts(with: held) else { return .waits }
            state = .guarded
            return .moves
        case .guarded: return guardContent()
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
        if state == .undecided, rest.starts(with: Self.end) {
            held.removeFirst(first + Self.end.count)
            state = .closing
            return .moves
        }
        if Self.start.starts(with: rest) || state == .undecided && Self.end.starts(with: rest) { return .waits }
        if state == .opening { held.removeFirst(first) }
        state = state == .undecided ? .guarded : .reasoning
        return .moves
    }

    /// Gives content up to where a tag may stand.
    private mutating func guardContent() -> Step {
        guard let (tag, index) = MarkerSearch.first(of: [Self.end, Self.start], in: held) else {
            let partial = MarkerSearch.partialSuffixLength(of: [Self.end, Self.start], in: held)
            let safe = held.count - partial - MarkerSearch.trailingSpaceLength(held, before: partial)
            return safe > 0 ? .gives(.content(take(safe))) : .waits
        }
        if index == 1 {
            state = .content
            return .moves
        }
        let space = MarkerSearch.trailingSpaceLength(held, before: held.count - tag.lowerBound)
        let start = tag.lowerBound - space
        if start > 0 { return .gives(.content(take(start))) }
        // Only white space is held before the tag: the content before it has been given.
        guard held[..<tag.lowerBound].contains(UInt8(ascii: "\n")) else {
            return .gives(.content(take(tag.upperBound)))
        }
        let line = held[tag.upperBound...].prefix { $0 != UInt8(ascii: "\n") }
        guard line.allSatisfy(MarkerSearch.isSpace) else { return .gives(.content(take(tag.upperBound))) }
        // Whether it ends its line is not known yet; at the end of the answer it does.
        guard tag.upperBound + line.count < held.count else { return .waits }
        let next = MarkerSearch.skippingSpace(held, from: tag.upperBound)
        guard next < held.count else { return .waits }
        held.replaceSubrange(..<next, with: "\n\n".utf8)
        return .moves
    }

    /// A closing tag on the last line, with all white space around it.
    private func loneTagAtEnd() -> Range<Int>? {
        guard let (tag, _) = MarkerSearch.first(of: [Self.end], in: held),
            held[..<tag.lowerBound].allSatisfy(MarkerSearch.isSpace),
            held[..<tag.lowerBound].contains(UInt8(ascii: "\n")),
            held[tag.upperBound...].allSatisfy(MarkerSearch.isSpace)
        else { return nil }
        return held.indices
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
