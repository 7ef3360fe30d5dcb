/// Cuts text into the words that byte-pair merges never cross.
///
/// Models name theirs in `tokenizer.ggml.pre`; each is a regular expression, or several applied one after the other,
/// each to the pieces the one before left. They are written out by hand here, over Unicode scalars.
enum PreTokenizer: Sendable {
    /// GPT-2: contractions, letters, numbers, other marks, each with the space before; white space.
    case gpt2
    /// Every digit by itself, then GPT-2 on what lies between.
    case smollm
    /// Llama 3: one other character may lead a word, numbers in threes, line breaks by themselves.
    case llama3
    /// As `llama3`, every digit by itself.
    case qwen2
    /// DeepSeek V2, V3 and R1: numbers in threes, Chinese and Japanese runs, then words with their marks.
    case deepseek3
    /// Any other, as its steps say; these only cut.
    case steps([PreTokenizationStep])

    /// How often it goes through a text beyond the once that is always granted.
    var stepCount: Int { if case .steps(let steps) = self { steps.count } else { 0 } }

    /// Calls `word` with the byte range of each word of `text` in `range`, in order; together they are all of it.
    @inline(__always)
    func split(_ text: ScalarReader, range: Range<Int>, _ budget: TextBudget, _ word: (Range<Int>) -> Void) {
        switch self {
        case .gpt2: Self.splitGPT2(text, range, word)
        case .smollm: Self.splitDigits(text, range, word)
        case .llama3: Self.splitLlama(text, range, maxDigits: 3, word)
        case .qwen2: Self.splitLlama(text, range, maxDigits: 1, word)
        case .deepseek3: Self.splitDeepSeek(text, range, word)
        case .steps(let steps): Self.split(text, range, steps[...], budget, word)
        }
    }

    /// One step after the other, each on what the one before left.
    private static func split(
        _ text: ScalarReader, _ range: Range<Int>, _ steps: ArraySlice<PreTokenizationStep>, _ budget: TextBudget,
        _ word: (Range<Int>) -> Void
    ) {
        if range.isEmpty { return }
        guard let step = steps.first else { return word(range) }
        step.cut(text, range, budget) { split(text, $0, steps.dropFirst(), budget, word) }
    }

    // MARK: - \p{N}, then GPT-2

    private static func splitDigits(_ text: ScalarReader, _ range: Range<Int>, _ word: (Range<Int>) -> Void) {
        var start = range.lowerBound
        var index = start
        while index < range.upperBound {
            let (scalarClass, length) = text.classified(at: index)
            if scalarClass.contains(.digit) {
                splitGPT2(text, start..<index, word)
                word(index..<index + length)
                start = index + length
            }
            index += length
        }
        splitGPT2(text, start..<range.upperBound, word)
    }

    // MARK: - '(s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

    private static func splitGPT2(_ text: ScalarReader, _ range: Range<Int>, _ word: (Range<Int>) -> Void) {
        var index = range.lowerBound
        let end = range.upperBound
        while index < end {
            let start = index
            if let contraction = contractionEnd(text, at: start, end: end, anyCase: false) {
                index = contraction
            } else {
                // A space joins the word after it.
                let hasSpace = text.bytes[start] == UInt8(ascii: " ") && start + 1 < end
                let body = hasSpace ? start + 1 : start
                let first = text.classified(at: body)
                let afterFirst = body + first.length
                if first.class.contains(.letter) {
                    index = text.runEnd(from: afterFirst, to: end) { $0.contains(.letter) }
                } else if first.class.contains(.number) {
                    index = text.runEnd(from: afterFirst, to: end) { $0.contains(.number) }
                } else if !first.class.contains(.space) {
                    index = text.runEnd(from: afterFirst, to: end) { $0.isDisjoint(with: [.letter, .number, .space]) }
                } else {
                    index = spaceEnd(text, at: start, end: end)
                }
            }
            word(start..<index)
        }
    }

    // MARK: - Llama 3

    // (?i:'(s|t|re|ve|m|ll|d))|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+
    // |\s+(?!\S)|\s+

    private static func splitLlama(
        _ text: ScalarReader, _ range: Range<Int>, maxDigits: Int, _ word: (Range<Int>) -> Void
    ) {
        var index = range.lowerBound
        let end = range.upperBound
        while index < end {
            let start = index
            index = llamaWordEnd(text, at: start, end: end, maxDigits: maxDigits)
            word(start..<index)
        }
    }

    private static func llamaWordEnd(_ text: ScalarReader, at start: Int, end: Int, maxDigits: Int) -> Int {
        if let contraction = contractionEnd(text, at: start, end: end, anyCase: true) { return contraction }
        let first = text.classified(at: start)
        let afterFirst = start + first.length
        let second = afterFirst < end ? text.classified(at: afterFirst) : (class: [], length: 0)

        if first.class.contains(.letter) { return text.runEnd(from: afterFirst, to: end) { $0.contains(.letter) } }
        if first.class.contains(.number) {
            var index = afterFirst
            for _ in 1..<max(maxDigits, 1) where index < end {
                let (scalarClass, length) = text.classified(at: index)
                guard scalarClass.contains(.number) else { break }
                index += length
            }
            return index
        }
        if second.class.contains(.letter), !isLineBreak(text.bytes[start]) {
            return text.runEnd(from: afterFirst, to: end) { $0.contains(.letter) }
        }
        let wordClasses: ScalarClass = [.letter, .number, .space]
        let isSpaced = text.bytes[start] == UInt8(ascii: " ") && second.length > 0
        if first.class.isDisjoint(with: wordClasses) || (isSpaced && second.class.isDisjoint(with: wordClasses)) {
            var index = text.runEnd(from: afterFirst, to: end) { $0.isDisjoint(with: wordClasses) }
            while index < end, isLineBreak(text.bytes[index]) { index += 1 }
            return index
        }
        // White space: up to and with the last line break of the run, if it has one.
        let runEnd = text.runEnd(from: start, to: end) { $0.contains(.space) }
        var lineBreak = runEnd
        while lineBreak > start, !isLineBreak(text.bytes[lineBreak - 1]) { lineBreak -= 1 }
        return lineBreak > start ? lineBreak : spaceEnd(text, at: start, end: end)
    }

    // MARK: - Parts

    /// `\s+(?!\S)|\s+`: a run of white space, without its last scalar when something else follows and it has several.
    static func spaceEnd(_ text: ScalarReader, at start: Int, end: Int) -> Int {
        var index = start
        var last = start
        while index < end {
            let (scalarClass, length) = text.classified(at: index)
            guard scalarClass.contains(.space) else { return last > start ? last : index }
            last = index
            index += length
        }
        return index
    }

    /// The end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at `start`.
    private static func contractionEnd(_ text: ScalarReader, at start: Int, end: Int, anyCase: Bool) -> Int? {
        guard text.bytes[start] == UInt8(ascii: "'"), start + 1 < end else { return nil }
        func letter(_ index: Int) -> UInt8 { anyCase ? text.bytes[index] | 0x20 : text.bytes[index] }
        switch letter(start + 1) {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
            return start + 2
        case UInt8(ascii: "r"), UInt8(ascii: "v"):
            return start + 2 < end && letter(start + 2) == UInt8(ascii: "e") ? start + 3 : nil
        case UInt8(ascii: "l"):
            return start + 2 < end && letter(start + 2) == UInt8(ascii: "l") ? start + 3 : nil
        default:
            // Without case, the long s (U+017F) is an s.
            let isLongS = anyCase && start + 2 < end && text.bytes[start + 1] == 0xC5 && text.bytes[start + 2] == 0xBF
            return isLongS ? start + 3 : nil
        }
    }

    static func isLineBreak(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r")
    }
}
