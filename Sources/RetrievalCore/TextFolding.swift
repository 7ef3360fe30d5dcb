import Foundation

/// The form in which the words of documents and of questions are compared. The text itself is kept as it is: spans and
/// quotes are of the original.
///
/// In this order:
/// 1. NFKC (UAX #15): full-width letters, half-width kana, ligatures, circled and superscript digits become plain ones.
/// 2. Case: lower, upper, lower, by Unicode's full mappings. Going through the upper case makes one of what only differs
///    there, as case folding does: ß and ss, σ and ς, ı and i.
/// 3. Accents of Latin, Greek and Cyrillic letters are dropped, because half of all questions are typed without them; й
///    is a letter of its own and stays. Letters with a stroke, which have no decomposition, become the letter without.
///    Marks of other scripts (vowels of Devanagari, the voicing of kana) carry the word and stay.
/// 4. Decimal digits of any script become 0...9, and for the index traditional Chinese characters the simplified ones.
enum TextFolding {
    /// `text` in that form; in ASCII text only the case changes.
    static func folded(_ text: String, simplifies: Bool) -> String.UnicodeScalarView {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.lowercased().unicodeScalars }
        // Composed once more, because Foundation leaves the voicing marks of half-width kana apart.
        let composed = text.precomposedStringWithCompatibilityMapping.precomposedStringWithCanonicalMapping
        var folded = String.UnicodeScalarView()
        /// Whether the last letter loses its accents, so that a mark that composes with nothing goes as well.
        var losesMarks = false
        for scalar in composed.unicodeScalars {
            if isMark(scalar.value) {
                if !losesMarks { folded.append(scalar) }
                continue
            }
            losesMarks = isAlphabetic(scalar.value)
            append(scalar, to: &folded, simplifies)
        }
        return folded
    }

    private static func append(
        _ scalar: Unicode.Scalar, to folded: inout String.UnicodeScalarView, _ simplifies: Bool
    ) {
        switch scalar.value {
        case 0..<UInt32(tableCount):
            switch table[Int(scalar.value)] {
            case .one(let other): folded.append(other)
            case .several(let others): folded.append(contentsOf: others)
            }
        case ideographs:
            folded.append(simplifies ? simplified[Int(scalar.value - ideographs.lowerBound)] : scalar)
        // Nothing of kana, Hangul and the punctuation between has a case.
        case 0x2000...0x20FF, 0x3000...0x33FF, 0xAC00...0xD7A3: folded.append(scalar)
        default: folded.append(contentsOf: foldedCase(scalar))
        }
    }

    /// Combining diacritical marks.
    private static func isMark(_ value: UInt32) -> Bool { (0x300...0x36F).contains(value) }

    /// Latin, Greek and Cyrillic, whose letters lose their accents.
    private static func isAlphabetic(_ value: UInt32) -> Bool {
        switch value {
        case 0x41...0x5A, 0x61...0x7A, 0xC0...0x24F, 0x370...0x52F, 0x1E00...0x1FFF: true
        default: false
        }
    }

    private static func foldedCase(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
        let lower = scalar.properties.lowercaseMapping.unicodeScalars
        let upper = lower.flatMap { Array($0.properties.uppercaseMapping.unicodeScalars) }
        return upper.flatMap { Array($0.properties.lowercaseMapping.unicodeScalars) }
    }

    // MARK: Tables, made from Unicode's properties at the first use

    private enum Entry {
        case one(Unicode.Scalar)
        case several([Unicode.Scalar])
    }

    /// The scripts with cases, accents or digits of their own lie below this.
    private static let tableCount = 0x2000

    private static let table: [Entry] = (0..<UInt32(tableCount)).map { value in
        // No surrogates here.
        guard let scalar = Unicode.Scalar(value) else { return .several([]) }
        let scalars = foldedLetter(scalar)
        return scalars.count == 1 ? .one(scalars[0]) : .several(scalars)
    }

    private static func foldedLetter(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
        if scalar.properties.generalCategory == .decimalNumber, let value = scalar.properties.numericValue {
            return [Unicode.Scalar(UInt8(ascii: "0") + UInt8(value))]
        }
        let lower = foldedCase(scalar)
        guard isAlphabetic(scalar.value), lower != ["й"] else { return lower }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: lower)
        let parts = String(view).decomposedStringWithCanonicalMapping.unicodeScalars.filter { !isMark($0.value) }
        return parts.flatMap { strokes[$0] ?? [$0] }
    }

    /// Latin letters without a decomposition, in lower case, and how they are written without their stroke or ligature.
    private static let strokes: [Unicode.Scalar: [Unicode.Scalar]] = [
        "æ": ["a", "e"], "œ": ["o", "e"], "ø": ["o"], "ł": ["l"], "đ": ["d"], "ð": ["d"], "þ": ["t", "h"], "ħ": ["h"],
    ]

    /// The unified ideographs that most text is written in.
    private static let ideographs: ClosedRange<UInt32> = 0x3400...0x9FFF

    /// By offset in `ideographs`: the simplified character, itself for most.
    private static let simplified: [Unicode.Scalar] = {
        let all = ideographs.compactMap { Unicode.Scalar($0) }
        // In one go, one on a line, because a call of its own for each takes long.
        var lines = String.UnicodeScalarView()
        for scalar in all {
            lines.append(scalar)
            lines.append("\n")
        }
        let transform = StringTransform("Traditional-Simplified")
        guard let text = String(lines).applyingTransform(transform, reverse: false) else { return all }
        let others = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        guard others.count == all.count else { return all }
        return zip(all, others).map { $1.count == 1 ? $1.first ?? $0 : $0 }
    }()
}
