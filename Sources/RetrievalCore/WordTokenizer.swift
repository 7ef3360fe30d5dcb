/// Cuts text into the terms of the lexical index.
///
/// A term is a run of letters, marks and digits in lower case; an ideograph or kana is a term of its own, because those
/// scripts do not write spaces. An apostrophe joins ("don't" is one term, written `dont`), and a possessive `'s` is
/// dropped. English plurals are folded by Harman's S-stemmer ("How effective is suffixing?", JASIS 42, 1991), which
/// touches only a final -s and so never merges unrelated words.
package enum WordTokenizer {
    /// Longest term, in bytes; longer runs (encoded blobs) are cut there.
    static let maxTermBytes = 64

    /// The terms of `text`, in order, with repetitions.
    package static func terms(_ text: String) -> [String] {
        var terms: [String] = []
        var current: [UInt8] = []
        /// Offset of an apostrophe inside `current`, or nil.
        var apostrophe: Int?

        func finish() {
            guard !current.isEmpty else { return }
            var word = current[...]
            if let cut = apostrophe, word.count - cut == 1, word.last == 0x73 { word = word[..<cut] }
            if let stem = stemmed(word) { terms.append(stem) }
            current.removeAll(keepingCapacity: true)
            apostrophe = nil
        }

        var pendingApostrophe = false
        for scalar in text.unicodeScalars {
            let value = scalar.value
            if value < 0x80 {
                let byte = UInt8(value)
                let isWord =
                    (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                if isWord {
                    if current.count >= maxTermBytes { finish() }
                    if pendingApostrophe { apostrophe = current.count }
                    current.append((0x41...0x5A).contains(byte) ? byte | 0x20 : byte)
                    pendingApostrophe = false
                } else if byte == 0x27 && !current.isEmpty && !pendingApostrophe {
                    pendingApostrophe = true
                } else {
                    pendingApostrophe = false
                    finish()
                }
            } else if value == 0x2019 && !current.isEmpty && !pendingApostrophe {
                pendingApostrophe = true
            } else if isIdeographic(value) {
                pendingApostrophe = false
                finish()
                terms.append(String(Character(scalar)))
            } else if isWordScalar(scalar) {
                if current.count >= maxTermBytes { finish() }
                if pendingApostrophe { apostrophe = current.count }
                pendingApostrophe = false
                current.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
            } else {
                pendingApostrophe = false
                finish()
            }
        }
        finish()
        return terms
    }

    /// The terms of a question that can tell documents apart: function words are left out, unless there is nothing else.
    ///
    /// In a large collection their low idf would do the same; in one of a few pages they would decide the ranking.
    package static func queryTerms(_ text: String) -> [String] {
        let all = terms(text)
        let content = all.filter { !functionWords.contains($0) }
        return content.isEmpty ? all : content
    }

    /// English words that only hold a sentence together, as `terms` writes them.
    private static let functionWords = Set(
        terms(
            """
            a about an and are as at be been but by can could did do does for from had has have he her his how i if in
            into is it its may me my no not of on or our she should so some than that the their them then there these
            they this those to us was we were what when where which who whom whose why will with would you your
            """))

    private static func isWordScalar(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .nonspacingMark,
            .spacingMark, .enclosingMark, .decimalNumber, .letterNumber, .otherNumber:
            true
        default: false
        }
    }

    private static func isIdeographic(_ value: UInt32) -> Bool {
        (0x3040...0x30FF).contains(value) || (0x3400...0x9FFF).contains(value) || (0xF900...0xFAFF).contains(value)
            || (0x20000...0x3FFFF).contains(value)
    }

    /// Harman's three rules, first match wins: -ies becomes -y (not -eies, -aies); -es becomes -e (not -aes, -ees,
    /// -oes); -s is dropped (not -us, -ss). Words of up to three letters are left alone.
    private static func stemmed(_ word: ArraySlice<UInt8>) -> String? {
        guard !word.isEmpty else { return nil }
        var bytes = word
        if bytes.count > 3, bytes.last == 0x73 {
            let before = bytes[bytes.endIndex - 2]
            let third = bytes[bytes.endIndex - 3]
            if before == 0x65 && third == 0x69 {
                let fourth = bytes[bytes.endIndex - 4]
                if fourth != 0x65 && fourth != 0x61 { bytes = bytes.dropLast(3) + [0x79] }
            } else if before == 0x65 {
                if third != 0x61 && third != 0x65 && third != 0x6F { bytes = bytes.dropLast() }
            } else if before != 0x75 && before != 0x73 {
                bytes = bytes.dropLast()
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
