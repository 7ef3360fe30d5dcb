/// A set of Unicode scalars, as a class of a regular expression describes it.
///
/// Membership in the first two planes is one bit of a table; scalars beyond are asked from the description.
final class ScalarSet: Sendable {
    /// A part of a description.
    indirect enum Item: Sendable {
        case range(ClosedRange<UInt32>)
        /// Any of these general categories, as bits.
        case categories(UInt32)
        case whiteSpace
        /// `\w`: alphabetic, marks, decimal digits, connector punctuation.
        case word
        /// `\w` of Rust's expressions, in which the library's own rules are written: joiners belong to words.
        case rustWord
        case not(Item)
        case union([Item])
        case intersection([Item])

        private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
            // Oniguruma counts Latin-1's superscripts and fractions as well.
            if [0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE].contains(scalar.value) { return true }
            return isAlphabeticMarkOrDigit(scalar)
        }

        private static func isAlphabeticMarkOrDigit(_ scalar: Unicode.Scalar) -> Bool {
            let bit = GeneralCategories.bit(of: scalar)
            return bit & GeneralCategories.word != 0 || bit != 1 && scalar.properties.isAlphabetic
        }

        func contains(_ scalar: Unicode.Scalar) -> Bool {
            switch self {
            case .range(let range): range.contains(scalar.value)
            case .categories(let mask): mask & GeneralCategories.bit(of: scalar) != 0
            case .whiteSpace: scalar.properties.isWhitespace
            case .word:
                Self.isWord(scalar)
            case .rustWord:
                scalar.value == 0x200C || scalar.value == 0x200D || Self.isAlphabeticMarkOrDigit(scalar)
            case .not(let item): !item.contains(scalar)
            case .union(let items): items.contains { $0.contains(scalar) }
            case .intersection(let items): items.allSatisfy { $0.contains(scalar) }
            }
        }
    }

    static let rustWord = ScalarSet(.rustWord)

    private static let tableSize: UInt32 = 0x20000
    private let bits: [UInt64]
    private let item: Item

    /// - Parameter ignoresCase: whether a scalar belongs when another of the same letter does.
    init(_ item: Item, ignoresCase: Bool = false) {
        var bits = [UInt64](repeating: 0, count: Int(Self.tableSize / 64))
        for value in 0..<Self.tableSize {
            guard let scalar = Unicode.Scalar(value) else { continue }
            if item.contains(scalar) { bits[Int(value >> 6)] |= 1 << (value & 63) }
        }
        if ignoresCase {
            // Two rounds: k, K and the Kelvin sign are one letter.
            for _ in 0..<2 { Self.addCaseVariants(&bits) }
        }
        self.bits = bits
        self.item = item
    }

    @inline(__always)
    func contains(_ scalar: Unicode.Scalar) -> Bool {
        let value = scalar.value
        if value < Self.tableSize { return bits[Int(value >> 6)] >> UInt64(value & 63) & 1 != 0 }
        return item.contains(scalar)
    }

    private static func addCaseVariants(_ bits: inout [UInt64]) {
        func isMember(_ scalar: Unicode.Scalar) -> Bool {
            scalar.value < tableSize && bits[Int(scalar.value >> 6)] >> UInt64(scalar.value & 63) & 1 != 0
        }
        for value in 0..<tableSize {
            guard let scalar = Unicode.Scalar(value), scalar.properties.isCased else { continue }
            let variants = [scalar.properties.lowercaseMapping, scalar.properties.uppercaseMapping]
            for text in variants where text.unicodeScalars.count == 1 {
                guard let variant = text.unicodeScalars.first, variant.value < tableSize, variant != scalar else {
                    continue
                }
                if isMember(scalar) { bits[Int(variant.value >> 6)] |= 1 << (variant.value & 63) }
                if isMember(variant) { bits[Int(value >> 6)] |= 1 << (value & 63) }
            }
        }
    }
}

/// General categories as bits.
enum GeneralCategories {
    /// Names of `\p{...}` and their bits; a one-letter name is all that start with it.
    static func named(_ name: String) -> UInt32? {
        let mask = all.reduce(into: UInt32(0)) { mask, entry in
            if entry.name == name || name.count == 1 && entry.name.hasPrefix(name) { mask |= 1 << entry.bit }
        }
        return mask == 0 ? nil : mask
    }

    static let word: UInt32 = ["M", "Nd", "Pc"].reduce(0) { $0 | (named($1) ?? 0) }

    static func bit(of scalar: Unicode.Scalar) -> UInt32 {
        if UnicodeAge.isNewer(scalar, than: UnicodeAge.regularExpressions) { return 1 }
        let category = scalar.properties.generalCategory
        return 1 << (bits[category] ?? 0)
    }

    private static let bits = Dictionary(uniqueKeysWithValues: all.map { ($0.category, $0.bit) })

    private static let all: [(name: String, bit: UInt32, category: Unicode.GeneralCategory)] = [
        ("Cn", 0, .unassigned), ("Lu", 1, .uppercaseLetter), ("Ll", 2, .lowercaseLetter), ("Lt", 3, .titlecaseLetter),
        ("Lm", 4, .modifierLetter), ("Lo", 5, .otherLetter), ("Mn", 6, .nonspacingMark), ("Mc", 7, .spacingMark),
        ("Me", 8, .enclosingMark), ("Nd", 9, .decimalNumber), ("Nl", 10, .letterNumber), ("No", 11, .otherNumber),
        ("Pc", 12, .connectorPunctuation), ("Pd", 13, .dashPunctuation), ("Ps", 14, .openPunctuation),
        ("Pe", 15, .closePunctuation), ("Pi", 16, .initialPunctuation), ("Pf", 17, .finalPunctuation),
        ("Po", 18, .otherPunctuation), ("Sm", 19, .mathSymbol), ("Sc", 20, .currencySymbol),
        ("Sk", 21, .modifierSymbol), ("So", 22, .otherSymbol), ("Zs", 23, .spaceSeparator), ("Zl", 24, .lineSeparator),
        ("Zp", 25, .paragraphSeparator), ("Cc", 26, .control), ("Cf", 27, .format), ("Cs", 28, .surrogate),
        ("Co", 29, .privateUse),
    ]
}
