/// Finds tool calls in text that comes in pieces. What turns out to be no call becomes content, nothing lost; no part of
/// a marker is let out before that is clear.
package struct ToolCallParser: Sendable {
    /// Bytes of one call; what is longer is content.
    package static let maxCallByteCount = 1 << 20

    private enum State {
        case text
        case call(ToolCallBody)

        var isText: Bool { if case .text = self { true } else { false } }
    }

    private let style: ChatFormat.ToolCallStyle
    private let toolNames: Set<String>
    /// Markers that begin a call.
    private let opening: [[UInt8]]
    /// Markers around calls, which say nothing themselves.
    private let framing: [[UInt8]]
    private var state = State.text
    private var held: [UInt8] = []
    /// White space and markers before a possible call: content if it is none.
    private var pending: [UInt8] = []
    /// Whether nothing but white space has come so far.
    private var isAtStart = true
    /// Whether a call has been given; white space after it means nothing.
    package private(set) var hasCalls = false
    private var isAfterCall = false

    /// - Parameter toolNames: of the tools that were offered.
    package init(style: ChatFormat.ToolCallStyle, toolNames: Set<String>) {
        self.style = style
        self.toolNames = toolNames
        let markers: (opening: [String], framing: [String]) =
            switch style {
            case .none: ([], [])
            case .tagged: ([Marker.taggedCall], [])
            case .deepSeek: ([Marker.deepSeekCall], [Marker.deepSeekCalls, Marker.deepSeekCallsEnd])
            case .llama: ([Marker.pythonTag], [])
            case .mistral: ([Marker.mistralCalls], [])
            }
        opening = markers.opening.map { Array($0.utf8) }
        framing = markers.framing.map { Array($0.utf8) }
    }

    /// Takes a piece of text, whole characters.
    ///
    /// - Returns: what is settled: content and calls only.
    package mutating func append(_ text: String) -> [AnswerPiece] {
        held += text.utf8
        return drain(isFinal: false)
    }

    /// What was held back, when no more comes.
    package mutating func finish() -> [AnswerPiece] {
        var pieces = drain(isFinal: true)
        let rest = pending + held
        (pending, held) = ([], [])
        if !rest.isEmpty, !hasCalls || !rest.allSatisfy(MarkerSearch.isSpace) {
            pieces.append(.content(String(decoding: rest, as: UTF8.self)))
        }
        return pieces
    }

    private mutating func drain(isFinal: Bool) -> [AnswerPiece] {
        var pieces: [AnswerPiece] = []
        while true {
            switch state {
            case .text:
                guard readText(into: &pieces) else { return pieces }
            case .call(var body):
                var reading = body.read(held, isFinal: isFinal)
                if case .needsMore = reading, held.count > Self.maxCallByteCount {
                    reading = .noCall(byteCount: held.count)
                }
                switch reading {
                case .needsMore:
                    state = .call(body)
                    return pieces
                case .calls(let calls, let byteCount):
                    held.removeFirst(byteCount)
                    pending = []
                    (hasCalls, isAfterCall, state) = (true, true, .text)
                    pieces += calls.map(AnswerPiece.toolCall)
                case .noCall(let byteCount):
                    give(byteCount, into: &pieces)
                    state = .text
                }
            }
        }
    }

    /// Moves what is content out and looks for the next marker; false when more text is needed.
    private mutating func readText(into pieces: inout [AnswerPiece]) -> Bool {
        guard style != .none else {
            give(held.count, into: &pieces)
            return false
        }
        if style == .llama, isAtStart || isAfterCall {
            let start = startOfObject()
            if start == held.count { return false }
            if held[start] == UInt8(ascii: "{") {
                openObject(at: start)
                return true
            }
        }
        if let (range, index) = MarkerSearch.first(of: opening + framing, in: held) {
            let space = MarkerSearch.trailingSpaceLength(held, before: held.count - range.lowerBound)
            give(range.lowerBound - space, into: &pieces)
            // The frame's end after the last call belongs to the calls.
            if index < opening.count || !isAfterCall { pending += held[..<(space + range.count)] }
            held.removeFirst(space + range.count)
            isAtStart = false
            if index < opening.count { state = .call(ToolCallBody(style: style, toolNames: toolNames)) }
            return true
        }
        let partial = MarkerSearch.partialSuffixLength(of: opening + framing, in: held)
        let space = MarkerSearch.trailingSpaceLength(held, before: partial)
        give(held.count - partial - space, into: &pieces)
        return false
    }

    /// Llama writes calls without a marker: an object that begins the answer, or follows a call. Where one would begin.
    private func startOfObject() -> Int {
        let start = MarkerSearch.skippingSpace(held)
        guard isAfterCall, start < held.count, held[start] == UInt8(ascii: ";") else { return start }
        return MarkerSearch.skippingSpace(held, from: start + 1)
    }

    private mutating func openObject(at start: Int) {
        pending += held[..<start]
        held.removeFirst(start)
        isAtStart = false
        state = .call(ToolCallBody(style: style, toolNames: toolNames))
    }

    /// Gives the first `byteCount` bytes, and what waited before them, as content.
    private mutating func give(_ byteCount: Int, into pieces: inout [AnswerPiece]) {
        guard byteCount > 0 || (!pending.isEmpty && !state.isText) else { return }
        var bytes = pending + held[..<byteCount]
        held.removeFirst(byteCount)
        pending = []
        if isAfterCall { bytes.removeFirst(MarkerSearch.skippingSpace(bytes)) }
        guard !bytes.isEmpty else { return }
        isAtStart = false
        isAfterCall = false
        let text = String(decoding: bytes, as: UTF8.self)
        if case .content(let earlier) = pieces.last {
            pieces[pieces.count - 1] = .content(earlier + text)
        } else {
            pieces.append(.content(text))
        }
    }
}
