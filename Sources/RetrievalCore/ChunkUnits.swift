/// The smallest piece of text that a chunk takes whole: a word, or a piece of a very long one.
struct Unit {
    /// How good a place to cut follows the unit.
    enum Boundary {
        /// Inside a word.
        case none
        case word, sentence, paragraph
    }

    /// Byte range in the extracted text; white space behind belongs to no unit.
    var start: Int
    var end: Int
    /// At least 1, so that text without tokens cannot make a chunk endless.
    var tokens: Int
    var boundary: Boundary
    /// True when a heading of the document begins here.
    var startsHeading: Bool
}

/// Reads a text unit by unit.
struct UnitReader {
    /// Longest unit in bytes; also what bounds a chunk's bytes (times its tokens).
    static let maxUnitBytes = 64
    /// Distinct words whose token count is remembered; then the memory starts afresh.
    private static let maxRememberedWords = 65536

    private let bytes: [UInt8]
    private let headings: [ExtractedText.Heading]
    private let maxUnitTokens: Int
    private let tokenCount: (String) -> Int
    private var position = 0
    private var nextHeading = 0
    private var remembered: [String: Int] = [:]

    /// - Parameter maxUnitTokens: Longer units are halved until they fit (a run of punctuation can hold a token a byte).
    init(text: ExtractedText, maxUnitTokens: Int, tokenCount: @escaping (String) -> Int) {
        bytes = text.utf8
        headings = text.headings
        self.maxUnitTokens = maxUnitTokens
        self.tokenCount = tokenCount
    }

    /// The next unit, or nil at the end of the text.
    mutating func next() -> Unit? {
        while position < bytes.count, UTF8Scanner.isSpace(bytes[position]) { position += 1 }
        guard position < bytes.count else { return nil }
        let start = position
        var end = wordEnd(from: start)
        var tokens = count(start..<end)
        while tokens > maxUnitTokens, let middle = boundary(before: start + (end - start) / 2, after: start) {
            end = middle
            tokens = count(start..<end)
        }
        position = end
        return Unit(
            start: start, end: end, tokens: tokens, boundary: boundary(after: start..<end),
            startsHeading: passesHeading(at: start))
    }

    /// The end of the word at `start`: white space, a full stop of a script without spaces, or the longest unit.
    private func wordEnd(from start: Int) -> Int {
        var index = start
        while index < bytes.count, !UTF8Scanner.isSpace(bytes[index]) {
            if index - start >= Self.maxUnitBytes {
                return boundary(before: index, after: start) ?? index
            }
            index += 1
            if isIdeographicStop(endingAt: index) { return index }
        }
        return index
    }

    /// The last character boundary at or before `index` and after `start`.
    private func boundary(before index: Int, after start: Int) -> Int? {
        var candidate = index
        while candidate > start, candidate < bytes.count, !UTF8Scanner.isBoundary(bytes[candidate]) { candidate -= 1 }
        return candidate > start ? candidate : nil
    }

    private func boundary(after range: Range<Int>) -> Unit.Boundary {
        var newlines = 0
        var index = range.upperBound
        while index < bytes.count, UTF8Scanner.isSpace(bytes[index]) {
            if bytes[index] == 0x0A { newlines += 1 }
            index += 1
        }
        if index >= bytes.count || newlines >= 2 { return .paragraph }
        if isIdeographicStop(endingAt: range.upperBound) { return .sentence }
        if index == range.upperBound { return .none }
        if newlines == 1 && startsListItem(at: index) { return .sentence }
        return endsSentence(range) ? .sentence : .word
    }

    /// A mark of Markdown (list, table, quote, heading) or a digit: lines that begin so stand for themselves.
    private func startsListItem(at index: Int) -> Bool {
        switch bytes[index] {
        case 0x23, 0x2A, 0x2B, 0x2D, 0x3E, 0x7C, 0x30...0x39: true
        default: false
        }
    }

    /// A full stop, exclamation or question mark, perhaps behind closing quotes and brackets.
    private func endsSentence(_ range: Range<Int>) -> Bool {
        var index = range.upperBound - 1
        while index > range.lowerBound, [0x22, 0x27, 0x29, 0x5D, 0x2A, 0x5F].contains(bytes[index]) { index -= 1 }
        return [0x2E, 0x21, 0x3F].contains(bytes[index])
    }

    /// 。 ！ ？ just before `end`.
    private func isIdeographicStop(endingAt end: Int) -> Bool {
        guard end >= 3 else { return false }
        switch (bytes[end - 3], bytes[end - 2], bytes[end - 1]) {
        case (0xE3, 0x80, 0x82), (0xEF, 0xBC, 0x81), (0xEF, 0xBC, 0x9F): return true
        default: return false
        }
    }

    private mutating func passesHeading(at offset: Int) -> Bool {
        var passed = false
        while nextHeading < headings.count, headings[nextHeading].start <= offset {
            nextHeading += 1
            passed = true
        }
        return passed
    }

    private mutating func count(_ range: Range<Int>) -> Int {
        let word = String(decoding: bytes[range], as: UTF8.self)
        if let known = remembered[word] { return known }
        let tokens = max(1, tokenCount(word))
        if remembered.count >= Self.maxRememberedWords { remembered.removeAll(keepingCapacity: true) }
        remembered[word] = tokens
        return tokens
    }
}
