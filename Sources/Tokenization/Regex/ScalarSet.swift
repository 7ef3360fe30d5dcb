/// A set of Unicode scalars, as a class of a regular expression describes it.
///
/// Kept as ranges, on which unions and complements are made; sets of more than a few ranges have a table of bits for the
/// first two planes beside it.
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
    }

    static let rustWord = ScalarSet(.rustWord)

    private static let tableSize: UInt32 = 0x20000
    /// Fewer ranges than this are compared with one after the other.
    private static let maxComparedRanges = 2

    let ranges: ScalarRanges
    private let bits: [UInt64]
    private let isCompared: Bool
    /// Start and length less one of the ranges that are compared with.
    private let first: (start: UInt32, span: UInt32)
    private let second: (start: UInt32, span: UInt32)

    /// - Parameter ignoresCase: whether a scalar belongs when another of the same letter does.
    convenience init(_ item: Item, ignoresCase: Bool = false) {
        let ranges = ScalarRanges(item)
        self.init(ignoresCase ? ranges.withCaseVariants : ranges)
    }

    init(_ ranges: ScalarRanges) {
        self.ranges = ranges
        isCompared = (1...Self.maxComparedRanges).contains(ranges.ranges.count)
        func bounds(_ range: ClosedRange<UInt32>?) -> (start: UInt32, span: UInt32) {
            range.map { ($0.lowerBound, $0.upperBound - $0.lowerBound) } ?? (0, 0)
        }
        first = bounds(ranges.ranges.first)
        second = bounds(ranges.ranges.last)
        guard !isCompared else {
            bits = []
            return
        }
        var bits = [UInt64](repeating: 0, count: Int(Self.tableSize / 64))
        for range in ranges.ranges where range.lowerBound < Self.tableSize {
            for value in range.lowerBound...min(range.upperBound, Self.tableSize - 1) {
                bits[Int(value >> 6)] |= 1 << UInt64(value & 63)
            }
        }
        self.bits = bits
    }

    @inline(__always)
    func contains(_ scalar: Unicode.Scalar) -> Bool {
        let value = scalar.value
        if isCompared { return value &- first.start <= first.span || value &- second.start <= second.span }
        if value < Self.tableSize { return bits[Int(value >> 6)] >> UInt64(value & 63) & 1 != 0 }
        return ranges.contains(value)
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
