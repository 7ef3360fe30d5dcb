/// The scanner of DeepSeek V2, V3 and R1 (`deepseek3Patterns`).
extension PreTokenizer {
    /// `\p{N}{1,3}`, then `[一-龥ぁ-ヿ]+`, then words on what lies between: three passes in one.
    static func splitDeepSeek(_ text: ScalarReader, _ range: Range<Int>, _ word: (Range<Int>) -> Void) {
        var start = range.lowerBound
        var index = start
        while index < range.upperBound {
            let (scalar, length) = text.scalar(at: index)
            if isIdeographOrKana(scalar.value) {
                splitWords(text, start..<index, word)
                start = index
                var hasOnlyLetters = true
                while index < range.upperBound {
                    let (scalar, length) = text.scalar(at: index)
                    guard isIdeographOrKana(scalar.value) else { break }
                    hasOnlyLetters = hasOnlyLetters && isLetter(scalar.value)
                    index += length
                }
                // The words' expression sees these runs as well.
                if hasOnlyLetters { word(start..<index) } else { splitWords(text, start..<index, word) }
                start = index
            } else if text.classes[scalar].contains(.number) {
                splitWords(text, start..<index, word)
                start = index
                index += length
                for _ in 1..<3 where index < range.upperBound {
                    let (scalarClass, length) = text.classified(at: index)
                    guard scalarClass.contains(.number) else { break }
                    index += length
                }
                word(start..<index)
                start = index
            } else {
                index += length
            }
        }
        splitWords(text, start..<range.upperBound, word)
    }

    private static func isIdeographOrKana(_ value: UInt32) -> Bool {
        (0x3040...0x9FA5).contains(value) && (value >= 0x4E00 || value <= 0x30FF)
    }

    /// Whether an ideograph or kana is a letter, as far as that is seen at a glance.
    private static func isLetter(_ value: UInt32) -> Bool {
        value >= 0x4E00 || (0x3041...0x3096).contains(value) || (0x30A1...0x30FA).contains(value) || value == 0x30FC
    }

    // [!"#...~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+

    private static func splitWords(_ text: ScalarReader, _ range: Range<Int>, _ word: (Range<Int>) -> Void) {
        var index = range.lowerBound
        // Where scalars start that no alternative takes (controls, unassigned); such a run is a word.
        var unmatched = index
        while index < range.upperBound {
            guard let end = wordEnd(text, at: index, end: range.upperBound) else {
                index += text.scalar(at: index).length
                continue
            }
            if unmatched < index { word(unmatched..<index) }
            word(index..<end)
            index = end
            unmatched = end
        }
        if unmatched < index { word(unmatched..<index) }
    }

    private static func wordEnd(_ text: ScalarReader, at start: Int, end: Int) -> Int? {
        let first = text.classified(at: start)
        let afterFirst = start + first.length
        let isMark: (ScalarClass) -> Bool = { !$0.isDisjoint(with: [.punctuation, .symbol]) }
        let isLetter: (ScalarClass) -> Bool = { !$0.isDisjoint(with: [.letter, .mark]) }

        if isLetter(first.class) { return text.runEnd(from: afterFirst, to: end, where: isLetter) }
        if isMark(first.class) {
            if text.bytes[start] < 0x80, afterFirst < end, isASCIILetter(text.bytes[afterFirst]) {
                var index = afterFirst
                while index < end, isASCIILetter(text.bytes[index]) { index += 1 }
                return index
            }
            return marksEnd(text, from: text.runEnd(from: afterFirst, to: end, where: isMark), to: end)
        }
        if !isLineBreak(text.bytes[start]), afterFirst < end {
            let second = text.classified(at: afterFirst)
            if isLetter(second.class) {
                return text.runEnd(from: afterFirst + second.length, to: end, where: isLetter)
            }
            if text.bytes[start] == UInt8(ascii: " "), isMark(second.class) {
                return marksEnd(text, from: text.runEnd(from: afterFirst, to: end, where: isMark), to: end)
            }
        }
        guard first.class.contains(.space) else { return nil }
        let runEnd = text.runEnd(from: afterFirst, to: end) { $0.contains(.space) }
        var lineBreak = runEnd
        while lineBreak > start, !isLineBreak(text.bytes[lineBreak - 1]) { lineBreak -= 1 }
        return lineBreak > start ? lineBreak : spaceEnd(text, at: start, end: end)
    }

    private static func marksEnd(_ text: ScalarReader, from start: Int, to end: Int) -> Int {
        var index = start
        while index < end, isLineBreak(text.bytes[index]) { index += 1 }
        return index
    }

    private static func isASCIILetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
}
