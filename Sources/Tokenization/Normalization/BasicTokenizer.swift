/// BERT's first step: text to words, cleaned, lowercased and without accents.
///
/// Control characters go, white space becomes a space, Chinese characters and punctuation stand alone.
struct BasicTokenizer: Sendable {
    /// A word after normalisation, and where it came from.
    struct Word {
        var utf8: [UInt8] = []
        /// Number of Unicode scalars in `utf8`.
        var scalarCount = 0
        /// Byte range in the original text.
        var range: Range<Int>
    }

    private let classes = ScalarClasses()
    private let decomposition = CanonicalDecomposition()
    private let lowercases: Bool

    /// - Parameter lowercases: whether text is lowercased and stripped of accents ("uncased" models).
    init(lowercases: Bool) {
        self.lowercases = lowercases
    }

    /// Calls `body` with each word of `range` of `bytes`, in order, until it returns false.
    func forEachWord(
        in bytes: UnsafeBufferPointer<UInt8>, range: Range<Int>, _ body: (Word) -> Bool
    ) {
        let reader = ScalarReader(bytes: bytes, classes: classes)
        var word = Word(range: range.lowerBound..<range.lowerBound)
        var goesOn = true

        func flush() {
            guard goesOn, word.scalarCount > 0 else { return }
            goesOn = body(word)
            word.utf8.removeAll(keepingCapacity: true)
            word.scalarCount = 0
        }
        func add(_ scalar: Unicode.Scalar, from source: Range<Int>) {
            let scalarClass = classes[scalar]
            if scalarClass.contains(.space) { return flush() }
            let standsAlone = scalarClass.contains(.bertPunctuation)
            if standsAlone { flush() }
            guard goesOn else { return }
            if word.scalarCount == 0 {
                word.range = source
            } else {
                word.range = word.range.lowerBound..<source.upperBound
            }
            if scalar.value < 0x80 {
                word.utf8.append(UInt8(scalar.value))
            } else {
                word.utf8.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            }
            word.scalarCount += 1
            if standsAlone { flush() }
        }

        var index = range.lowerBound
        while index < range.upperBound, goesOn {
            let (scalar, length) = reader.scalar(at: index)
            let source = index..<index + length
            index += length
            let scalarClass = classes[scalar]
            if Self.isDropped(scalar, scalarClass) {
                continue
            } else if Self.isSpace(scalar, scalarClass) {
                flush()
            } else if scalar.value < 0x80 {
                let isUpper = lowercases && scalar.value >= 0x41 && scalar.value <= 0x5A
                add(isUpper ? Unicode.Scalar(UInt8(scalar.value) | 0x20) : scalar, from: source)
            } else {
                let isChinese = Self.isChinese(scalar.value)
                if isChinese { flush() }
                if lowercases {
                    decomposition.forEach(in: scalar) { part in
                        guard !classes[part].contains(.bertMark) else { return }
                        for lower in part.properties.lowercaseMapping.unicodeScalars { add(lower, from: source) }
                    }
                } else {
                    add(scalar, from: source)
                }
                if isChinese { flush() }
            }
        }
        flush()
    }

    /// Whether cleaning leaves `scalar` out: controls, formats and private use, but not white space of BERT's.
    static func isDropped(_ scalar: Unicode.Scalar, _ scalarClass: ScalarClass) -> Bool {
        // Tab and line breaks are controls too, but they are white space first.
        if isTabOrLineBreak(scalar) { return false }
        return scalarClass.contains(.bertControl) || scalar.value == 0xFFFD
    }

    static func isSpace(_ scalar: Unicode.Scalar, _ scalarClass: ScalarClass) -> Bool {
        isTabOrLineBreak(scalar) || scalarClass.contains(.space)
    }

    private static func isTabOrLineBreak(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value == 0x09 || scalar.value == 0x0A || scalar.value == 0x0D
    }

    /// Whether `scalar` is a CJK ideograph, which stands alone.
    static func isChinese(_ value: UInt32) -> Bool {
        switch value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
