/// Cuts extracted text into overlapping chunks that fit the encoder.
///
/// The text is read as a stream of *units*: words, or pieces of very long words, each with its token count and with how
/// good a place to cut follows it. A chunk takes units until the next would exceed `maxTokens` and then goes back to the
/// last paragraph end in its second half, else the last sentence end there, else the last word. A new section (a
/// heading) always starts a new chunk unless the one before would be tiny. The next chunk repeats up to `overlapTokens`
/// from the end of the one before, starting at a sentence if one starts there; not across a heading.
///
/// Memory beyond the result is one chunk's units; time is linear in the text.
package struct Chunker: Sendable {
    /// Chunk sizes, in encoder tokens.
    package struct Parameters: Sendable, Equatable {
        /// Smallest chunk size.
        package static let leastTokens = 16

        /// Greatest tokens per chunk, 16...4,096.
        package var maxTokens: Int
        /// Tokens repeated from the chunk before, 0...maxTokens / 2.
        package var overlapTokens: Int

        package init(maxTokens: Int = 200, overlapTokens: Int = 40) {
            self.maxTokens = maxTokens
            self.overlapTokens = overlapTokens
        }

        /// - Throws: `invalidParameter` naming the bound that is not kept.
        package func validate() throws {
            guard (Self.leastTokens...4096).contains(maxTokens) else {
                throw RetrievalError(
                    code: .invalidParameter, message: "the chunk size must be 16...4096 tokens, got \(maxTokens)")
            }
            guard (0...(maxTokens / 2)).contains(overlapTokens) else {
                throw RetrievalError(
                    code: .invalidParameter,
                    message: "the overlap must be 0...\(maxTokens / 2) tokens (half the chunk), got \(overlapTokens)")
            }
        }
    }

    /// A piece of a document.
    package struct Chunk: Sendable, Equatable {
        /// Exactly the bytes of the extracted text in `range`.
        package var text: String
        /// Byte range in the extracted text, without surrounding white space.
        package var range: Range<Int>
        /// The document's title and those of the headings in force where the chunk starts, outermost first.
        package var headings: [String]
        /// Tokens of `text` by the caller's count.
        package var tokenCount: Int
    }

    let parameters: Parameters

    /// - Throws: `invalidParameter` when the parameters are out of range.
    package init(parameters: Parameters = Parameters()) throws {
        try parameters.validate()
        self.parameters = parameters
    }

    /// Cuts `text`.
    ///
    /// - Parameters:
    ///   - maxChunks: Bound on the result.
    ///   - tokenCount: Tokens of a string, without the encoder's own start and end marks. It is called for each distinct
    ///     word and for each finished chunk.
    /// - Throws: `invalidFile` when the text gives more than `maxChunks` chunks.
    package func chunks(
        of text: ExtractedText, maxChunks: Int = .max, tokenCount: (String) -> Int
    ) throws -> [Chunk] {
        try withoutActuallyEscaping(tokenCount) { count in
            var chunks: [Chunk] = []
            var units = UnitReader(text: text, maxUnitTokens: parameters.maxTokens, tokenCount: count)
            var headings = HeadingPath(text)
            var window: [Unit] = []
            /// Units at the front of the window that the chunk before already holds.
            var overlapped = 0
            while true {
                fill(&window, from: &units)
                if window.count <= overlapped { return chunks }
                var cut = cutPoint(in: window, overlapped: overlapped)
                if cut.end <= overlapped {
                    // Overlap and the next unit together are too much: go on without overlap.
                    window.removeFirst(overlapped)
                    overlapped = 0
                    continue
                }
                guard let chunk = makeChunk(text, window, &cut, overlapped, count) else {
                    window.removeFirst(overlapped)
                    overlapped = 0
                    continue
                }
                guard chunks.count < maxChunks else {
                    throw RetrievalError(
                        code: .invalidFile, message: "the document gives more than \(maxChunks) chunks")
                }
                chunks.append(
                    Chunk(
                        text: chunk.text, range: chunk.range, headings: headings.path(at: chunk.range.lowerBound),
                        tokenCount: chunk.tokens))
                let next = cut.isHard ? cut.end : overlapStart(in: window, end: cut.end)
                overlapped = cut.end - next
                window.removeFirst(next)
            }
        }
    }

    /// Where a chunk ends: before unit `end` of the window; hard when nothing may be repeated behind it.
    private struct Cut {
        var end: Int
        var isHard: Bool
    }

    /// Reads units until one more than a chunk can hold is there, or the text ends.
    private func fill(_ window: inout [Unit], from units: inout UnitReader) {
        var tokens = window.reduce(0) { $0 + $1.tokens }
        while tokens <= parameters.maxTokens, let unit = units.next() {
            window.append(unit)
            tokens += unit.tokens
        }
    }

    private func cutPoint(in window: [Unit], overlapped: Int) -> Cut {
        let tinySection = max(8, parameters.maxTokens / 16)
        var tokens = 0
        var paragraph: Int?
        var sentence: Int?
        var word: Int?
        for (index, unit) in window.enumerated() {
            if unit.startsHeading && index > overlapped && tokens >= tinySection {
                return Cut(end: index, isHard: true)
            }
            if tokens + unit.tokens > parameters.maxTokens && index > 0 {
                return Cut(end: paragraph ?? sentence ?? word ?? index, isHard: false)
            }
            tokens += unit.tokens
            guard index >= overlapped else { continue }
            if unit.boundary != .none { word = index + 1 }
            guard tokens * 2 >= parameters.maxTokens else { continue }
            if unit.boundary == .paragraph { paragraph = index + 1 }
            if unit.boundary == .sentence { sentence = index + 1 }
        }
        return Cut(end: window.count, isHard: true)
    }

    /// Makes the chunk of the units before the cut. Counting word by word can differ from counting the whole by a few
    /// tokens; then the cut moves back until the whole fits. Nil when it does not fit because of what is repeated.
    private func makeChunk(
        _ text: ExtractedText, _ window: [Unit], _ cut: inout Cut, _ overlapped: Int, _ count: (String) -> Int
    ) -> (text: String, range: Range<Int>, tokens: Int)? {
        while true {
            let range = window[0].start..<window[cut.end - 1].end
            let string = text.text(in: range)
            let tokens = count(string)
            if tokens <= parameters.maxTokens { return (string, range, tokens) }
            if cut.end <= overlapped + 1 { return overlapped > 0 ? nil : (string, range, tokens) }
            cut.end -= 1
            cut.isHard = false
        }
    }

    /// The unit at which the next chunk starts: the first sentence start within the overlap, else the first word start.
    private func overlapStart(in window: [Unit], end: Int) -> Int {
        var tokens = 0
        var word = end
        var sentence: Int?
        for index in stride(from: end - 1, to: 0, by: -1) {
            tokens += window[index].tokens
            if tokens > parameters.overlapTokens { break }
            let boundary = window[index - 1].boundary
            if boundary != .none { word = index }
            if boundary == .sentence || boundary == .paragraph { sentence = index }
        }
        return sentence ?? word
    }
}

/// The titles in force at ascending positions of a document.
private struct HeadingPath {
    private let headings: [ExtractedText.Heading]
    private let title: String?
    private var next = 0
    private var stack: [ExtractedText.Heading] = []

    init(_ text: ExtractedText) {
        headings = text.headings
        title = text.title
    }

    mutating func path(at offset: Int) -> [String] {
        while next < headings.count, headings[next].start <= offset {
            stack.removeAll { $0.level >= headings[next].level }
            stack.append(headings[next])
            next += 1
        }
        // The title of a page is often its first heading as well.
        if let title, stack.first?.title != title { return [title] + stack.map(\.title) }
        return stack.map(\.title)
    }
}
