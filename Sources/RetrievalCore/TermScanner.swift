/// Reads folded text scalar by scalar and writes down its terms; the rules are those of `WordTokenizer`.
struct TermScanner {
    /// What a scalar does to the word before it.
    private enum Role {
        case letter, digit, mark
        /// A term by itself.
        case character
        /// Goes with its neighbour.
        case unspaced
        case apostrophe
        /// `+` or `#`.
        case sign
        /// May stand inside a code.
        case joiner
        case other
    }

    /// Most words of a code.
    private static let maxCompoundWords = 16

    /// What the terms are for.
    enum Purpose {
        case words
        /// A document of the index, or a question to it.
        case document, question
    }

    private let purpose: Purpose
    private var terms: [SearchTerm] = []

    /// The word being read, as UTF-8.
    private var word: [UInt8] = []
    private var endsInDigit = false
    /// Offsets in `word` at which letters follow digits or the other way round.
    private var borders: [Int] = []
    /// Offset in `word` behind which an apostrophe stood, or nil.
    private var apostrophe: Int?
    private var pendingApostrophe = false
    /// `+` and `#` right behind the word.
    private var signs: [UInt8] = []

    /// The words of the code being read, joined.
    private var compound: [UInt8] = []
    private var compoundWords = 0
    private var hasDigit = false
    private var isMixed = false
    /// A question's first word of a code when it is of letters and digits: if it stays the only one, only the code counts.
    private var heldWord: ArraySlice<UInt8>?

    /// The scalar before, within a run of a script without spaces.
    private var unspaced: Unicode.Scalar?
    private var unspacedLength = 0
    private var isUnspacedRun: Bool { unspaced != nil }

    init(for purpose: Purpose) {
        self.purpose = purpose
    }

    mutating func scan(_ text: String) -> [SearchTerm] {
        for scalar in TextFolding.folded(text, simplifies: purpose != .words) {
            take(scalar, purpose == .words ? Self.roleInWords(scalar) : Self.role(scalar))
        }
        finishCompound()
        finishUnspaced()
        return terms
    }

    private mutating func take(_ scalar: Unicode.Scalar, _ role: Role) {
        if role != .unspaced && !(role == .mark && isUnspacedRun) { finishUnspaced() }
        switch role {
        case .letter, .digit: append(scalar, isDigit: role == .digit)
        case .mark:
            if isUnspacedRun { appendUnspaced(scalar) } else { append(scalar, isDigit: !word.isEmpty && endsInDigit) }
        case .character:
            finishCompound()
            let text = String(Character(scalar))
            terms.append(SearchTerm(text: text, surface: text, kind: .character))
        case .unspaced:
            finishCompound()
            appendUnspaced(scalar)
        case .apostrophe:
            if word.isEmpty || pendingApostrophe || !signs.isEmpty {
                finishCompound()
            } else {
                pendingApostrophe = true
            }
        case .sign:
            if word.isEmpty || pendingApostrophe || signs.count == 2 {
                finishCompound()
            } else {
                signs.append(UInt8(truncatingIfNeeded: scalar.value))
            }
        case .joiner:
            // One sign between two words; a second one ends the code.
            if word.isEmpty || pendingApostrophe || !signs.isEmpty { finishCompound() } else { finishWord() }
        case .other: finishCompound()
        }
    }

    private mutating func append(_ scalar: Unicode.Scalar, isDigit: Bool) {
        if !signs.isEmpty {
            // "a+b": the sign stood between two words.
            signs.count == 1 ? finishWordBeforeSign() : finishCompound()
        }
        if word.count >= WordTokenizer.maxTermBytes { finishWord() }
        if !word.isEmpty && isDigit != endsInDigit { borders.append(word.count) }
        if pendingApostrophe && !word.isEmpty { apostrophe = word.count }
        pendingApostrophe = false
        endsInDigit = isDigit
        if isDigit { hasDigit = true }
        word.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
    }

    private mutating func finishWordBeforeSign() {
        signs = []
        finishWord()
    }

    /// Ends the word; a code goes on.
    private mutating func finishWord() {
        guard !word.isEmpty else { return }
        var body = word[...]
        if let cut = apostrophe, body.count - cut == 1, body.last == 0x73 { body = body[..<cut] }
        if let held = heldWord { add(Self.stemmed(held), surface: held, .word) }
        heldWord = nil
        if purpose == .question && !borders.isEmpty && compoundWords == 0 && signs.isEmpty {
            heldWord = body
        } else {
            add(Self.stemmed(body), surface: body, .word)
        }
        if purpose == .document && !borders.isEmpty { addParts(of: body) }
        if !signs.isEmpty { add(body + signs, surface: body + signs, .word) }
        // A code too long for a term has its parts only; the bytes beyond are not needed to know that.
        if compound.count <= WordTokenizer.maxTermBytes { compound += body }
        compoundWords += 1
        if !borders.isEmpty { isMixed = true }
        borders.removeAll(keepingCapacity: true)
        word.removeAll(keepingCapacity: true)
        signs = []
        apostrophe = nil
        pendingApostrophe = false
    }

    /// Ends the word and the code it may be part of.
    private mutating func finishCompound() {
        finishWord()
        let isCode = hasDigit && (compoundWords > 1 || isMixed) && compoundWords <= Self.maxCompoundWords
        if purpose != .words && isCode && compound.count <= WordTokenizer.maxTermBytes {
            let kind: SearchTerm.Kind = compoundWords > 1 ? .compound : .word
            add([UInt8(ascii: "=")] + compound[...], surface: compound[...], kind)
        } else if let held = heldWord {
            add(Self.stemmed(held), surface: held, .word)
        }
        heldWord = nil
        compound.removeAll(keepingCapacity: true)
        compoundWords = 0
        (hasDigit, isMixed) = (false, false)
        pendingApostrophe = false
    }

    private mutating func appendUnspaced(_ scalar: Unicode.Scalar) {
        if let before = unspaced {
            var pair = String.UnicodeScalarView()
            pair.append(before)
            pair.append(scalar)
            terms.append(SearchTerm(text: String(pair), surface: String(pair), kind: .character))
        }
        unspacedLength += 1
        unspaced = scalar
    }

    private mutating func finishUnspaced() {
        guard let scalar = unspaced else { return }
        if unspacedLength == 1 {
            let text = String(Character(scalar))
            terms.append(SearchTerm(text: text, surface: text, kind: .character))
        }
        (unspaced, unspacedLength) = (nil, 0)
    }

    private mutating func add(_ text: ArraySlice<UInt8>, surface: ArraySlice<UInt8>, _ kind: SearchTerm.Kind) {
        guard !text.isEmpty else { return }
        terms.append(
            SearchTerm(
                text: String(decoding: text, as: UTF8.self),
                surface: purpose == .question ? String(decoding: surface, as: UTF8.self) : "", kind: kind))
    }

    /// The letters and the digits of a word of both.
    private mutating func addParts(of body: ArraySlice<UInt8>) {
        var start = body.startIndex
        for border in borders + [body.endIndex] where border > start && border <= body.endIndex {
            add(Self.stemmed(body[start..<border]), surface: [], .word)
            start = border
        }
    }

    // MARK: Scalars

    private static func roleInWords(_ scalar: Unicode.Scalar) -> Role {
        switch role(scalar) {
        case .character: (0xAC00...0xD7A3).contains(scalar.value) ? .letter : .character
        case .unspaced: .letter
        case .sign, .joiner: .other
        case let role: role
        }
    }

    private static func role(_ scalar: Unicode.Scalar) -> Role {
        switch scalar.value {
        case 0x61...0x7A: return .letter
        case 0x30...0x39: return .digit
        // ' and ’
        case 0x27, 0x2019: return .apostrophe
        // + and #
        case 0x2B, 0x23: return .sign
        // - _ . / : @ \ & , and the hyphens and dashes
        case 0x2D, 0x5F, 0x2E, 0x2F, 0x3A, 0x40, 0x5C, 0x26, 0x2C, 0x2010...0x2015, 0x2212: return .joiner
        case 0..<0x80: return .other
        // Kana but the middle dot, ideographs, syllables of Hangul.
        case 0x30FB: return .other
        case 0x3041...0x30FF, 0x3400...0x9FFF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0x20000...0x3FFFF: return .character
        default: break
        }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
            return isUnspaced(scalar.value) ? .unspaced : .letter
        case .nonspacingMark, .spacingMark, .enclosingMark: return .mark
        case .decimalNumber, .letterNumber, .otherNumber: return .digit
        default: return .other
        }
    }

    /// Thai and Lao, Burmese, Khmer.
    private static func isUnspaced(_ value: UInt32) -> Bool {
        (0xE00...0xEFF).contains(value) || (0x1000...0x109F).contains(value) || (0x1780...0x17FF).contains(value)
    }

    /// Harman's three rules, first match wins: -ies becomes -y (not -eies, -aies); -es becomes -e (not -aes, -ees,
    /// -oes); -s is dropped (not -us, -ss). Words of up to three letters are left alone.
    private static func stemmed(_ word: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard word.count > 3, word.last == 0x73 else { return word }
        let before = word[word.endIndex - 2]
        let third = word[word.endIndex - 3]
        if before == 0x65 && third == 0x69 {
            let fourth = word[word.endIndex - 4]
            return fourth != 0x65 && fourth != 0x61 ? word.dropLast(3) + [0x79] : word
        }
        if before == 0x65 { return third != 0x61 && third != 0x65 && third != 0x6F ? word.dropLast() : word }
        return before != 0x75 && before != 0x73 ? word.dropLast() : word
    }
}
