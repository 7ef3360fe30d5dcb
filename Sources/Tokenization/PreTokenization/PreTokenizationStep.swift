/// A step that cuts text into words, or rewrites them, as the `pre_tokenizer` of a tokenizer.json describes it.
enum PreTokenizationStep: Sendable {
    /// When a mark for the space before a word is put before one that has none.
    enum PrependScheme: String, Sendable { case always, first, never }

    case split(TextPattern, SplitBehavior, isInverted: Bool)
    case digits(individually: Bool)
    /// White space goes.
    case whiteSpaceSplit
    /// `\w+|[^\w\s]+`
    case whiteSpace
    case bert
    case punctuation(SplitBehavior)
    case delimiter(Unicode.Scalar)
    case metaspace(replacement: String, PrependScheme, splits: Bool)
    /// GPT-2's regular expression, without the byte alphabet that follows it.
    case gpt2Words
    /// A space before each word that has none.
    case prefixSpace
    /// Bytes to the characters of `ByteAlphabet`.
    case byteAlphabet

    /// Whether it only cuts, and so leaves the bytes as they are.
    var isCut: Bool {
        switch self {
        case .metaspace, .prefixSpace, .byteAlphabet: false
        default: true
        }
    }

    /// - Throws: `tooMuchWork`.
    func apply(to text: inout PreTokenizedText, _ budget: TextBudget) throws {
        try budget.spend(2 * (text.bytes.count + text.words.count))
        applyUnchecked(to: &text, budget)
        try budget.check(byteCount: text.bytes.count / 2)
    }

    private func applyUnchecked(to text: inout PreTokenizedText, _ budget: TextBudget) {
        switch self {
        case .metaspace(let replacement, let scheme, let splits):
            let mark = Array(replacement.utf8)
            text.rewrite { Self.writeMetaspace($0, $1, &$2, mark, scheme) }
            if splits {
                text.cut { reader, range, word in
                    Self.cut(reader, range, .mergedWithNext, at: TextPattern.literal(mark), false, budget, word)
                }
            }
        case .prefixSpace:
            text.rewrite { bytes, _, result in
                if bytes.first != UInt8(ascii: " ") { result.append(UInt8(ascii: " ")) }
                result.append(contentsOf: bytes)
            }
        case .byteAlphabet:
            text.rewrite { bytes, _, result in
                for byte in bytes { result.append(contentsOf: ByteAlphabet.utf8[Int(byte)]) }
            }
        default: text.cut { cut($0, $1, budget, $2) }
        }
    }

    /// Cuts `range` of a text; for steps that only cut.
    func cut(
        _ reader: ScalarReader, _ range: Range<Int>, _ budget: TextBudget, _ word: (Range<Int>) -> Void
    ) {
        switch self {
        case .split(let pattern, let behavior, let isInverted):
            Self.cut(reader, range, behavior, at: pattern, isInverted, budget, word)
        case .digits(let individually):
            Self.cut(reader, range, individually ? .isolated : .contiguous, word) { $1.contains(.digit) }
        case .whiteSpaceSplit: Self.cut(reader, range, .removed, word) { $1.contains(.space) }
        case .whiteSpace: Self.cutWhiteSpace(reader, range, word)
        case .bert: Self.cutBert(reader, range, word)
        case .punctuation(let behavior):
            Self.cut(reader, range, behavior, word) { $1.contains(.bertPunctuation) }
        case .delimiter(let delimiter): Self.cut(reader, range, .removed, word) { scalar, _ in scalar == delimiter }
        case .gpt2Words: PreTokenizer.gpt2.split(reader, range: range, budget, word)
        case .metaspace, .prefixSpace, .byteAlphabet: word(range)
        }
    }

    private static func cut(
        _ reader: ScalarReader, _ range: Range<Int>, _ behavior: SplitBehavior, at pattern: TextPattern,
        _ isInverted: Bool, _ budget: TextBudget, _ word: (Range<Int>) -> Void
    ) {
        var matches: [Range<Int>] = []
        pattern.forEachMatch(in: reader, range: range, budget) { matches.append($0) }
        behavior.cut(range, at: matches, isInverted: isInverted, word)
    }

    /// Cuts at every scalar that satisfies `isMatch`.
    private static func cut(
        _ reader: ScalarReader, _ range: Range<Int>, _ behavior: SplitBehavior, _ word: (Range<Int>) -> Void,
        where isMatch: (Unicode.Scalar, ScalarClass) -> Bool
    ) {
        var matches: [Range<Int>] = []
        var index = range.lowerBound
        while index < range.upperBound {
            let (scalar, length) = reader.scalar(at: index)
            if isMatch(scalar, reader.classes[scalar]) { matches.append(index..<index + length) }
            index += length
        }
        behavior.cut(range, at: matches, isInverted: false, word)
    }

    private static func cutWhiteSpace(_ reader: ScalarReader, _ range: Range<Int>, _ word: (Range<Int>) -> Void) {
        enum Kind { case space, word, other }
        var start = range.lowerBound
        var kind = Kind.space
        var index = start
        while index < range.upperBound {
            let (scalar, length) = reader.scalar(at: index)
            let next: Kind =
                reader.classes[scalar].contains(.space) ? .space : ScalarSet.rustWord.contains(scalar) ? .word : .other
            if next != kind {
                if kind != .space { word(start..<index) }
                (start, kind) = (index, next)
            }
            index += length
        }
        if kind != .space { word(start..<range.upperBound) }
    }

    private static func cutBert(_ reader: ScalarReader, _ range: Range<Int>, _ word: (Range<Int>) -> Void) {
        var start = range.lowerBound
        var index = start
        while index < range.upperBound {
            let (scalar, length) = reader.scalar(at: index)
            let scalarClass = reader.classes[scalar]
            let isSpace = scalarClass.contains(.space)
            if isSpace || scalarClass.contains(.bertPunctuation) {
                word(start..<index)
                if !isSpace { word(index..<index + length) }
                start = index + length
            }
            index += length
        }
        word(start..<range.upperBound)
    }

    private static func writeMetaspace(
        _ bytes: UnsafeBufferPointer<UInt8>, _ word: PreTokenizedText.Word, _ result: inout [UInt8], _ mark: [UInt8],
        _ scheme: PrependScheme
    ) {
        let startsWithMark = bytes.first == UInt8(ascii: " ") || bytes.starts(with: mark)
        if !startsWithMark, scheme == .always || scheme == .first && word.isFirst { result.append(contentsOf: mark) }
        for byte in bytes {
            if byte == UInt8(ascii: " ") { result.append(contentsOf: mark) } else { result.append(byte) }
        }
    }
}
