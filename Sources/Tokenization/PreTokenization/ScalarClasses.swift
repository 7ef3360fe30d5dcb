/// What tokenisers ask about a Unicode scalar, as bits.
///
/// The reference libraries carry tables of different versions of Unicode, and ids depend on them: a scalar that is newer
/// than a table is unassigned to it.
struct ScalarClass: OptionSet, Sendable {
    let rawValue: UInt16

    /// `\p{L}`
    static let letter = ScalarClass(rawValue: 1)
    /// `\p{N}`
    static let number = ScalarClass(rawValue: 2)
    /// `\s`: the White_Space property.
    static let space = ScalarClass(rawValue: 4)
    /// `\p{M}`
    static let mark = ScalarClass(rawValue: 8)
    /// `\p{P}`
    static let punctuation = ScalarClass(rawValue: 16)
    /// `\p{S}`
    static let symbol = ScalarClass(rawValue: 32)
    /// What the `Digits` step means: numeric, by Unicode 17.
    static let digit = ScalarClass(rawValue: 64)
    /// What `StripAccents` takes away: marks, by Unicode 9.
    static let accent = ScalarClass(rawValue: 128)
    /// BERT's marks (`\p{Mn}`), by Unicode 8.
    static let bertMark = ScalarClass(rawValue: 256)
    /// BERT's punctuation, ASCII symbols with it, by Unicode 8.
    static let bertPunctuation = ScalarClass(rawValue: 512)
    /// What BERT's cleaning drops: control, format and private-use characters, by Unicode 8.
    static let bertControl = ScalarClass(rawValue: 1024)

    init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Asks the standard library; tens of nanoseconds.
    init(of scalar: Unicode.Scalar) {
        var value: ScalarClass = scalar.properties.isWhitespace ? .space : []
        let category = scalar.properties.generalCategory
        let group = Group(category)
        if !UnicodeAge.isNewer(scalar, than: UnicodeAge.regularExpressions) {
            value.formUnion(group.regularExpressionClass)
        }
        if group == .number { value.insert(.digit) }
        value.formUnion(Self.older(scalar, category, group))
        self = value
    }

    /// Kinds of general categories.
    private enum Group {
        case letter, number, mark, punctuation, symbol, control, none

        init(_ category: Unicode.GeneralCategory) {
            switch category {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
            case .decimalNumber, .letterNumber, .otherNumber: self = .number
            case .nonspacingMark, .spacingMark, .enclosingMark: self = .mark
            case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
                .finalPunctuation, .otherPunctuation:
                self = .punctuation
            case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: self = .symbol
            case .control, .format, .privateUse: self = .control
            case .spaceSeparator, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: self = .none
            @unknown default: self = .none
            }
        }

        var regularExpressionClass: ScalarClass {
            switch self {
            case .letter: .letter
            case .number: .number
            case .mark: .mark
            case .punctuation: .punctuation
            case .symbol: .symbol
            case .control, .none: []
            }
        }
    }

    /// The classes by older versions of Unicode, with the scalars whose category changed since.
    private static func older(
        _ scalar: Unicode.Scalar, _ category: Unicode.GeneralCategory, _ group: Group
    ) -> ScalarClass {
        var value: ScalarClass = []
        let isVedicSign = (0x1CF2...0x1CF3).contains(scalar.value)
        if group == .mark && !UnicodeAge.isNewer(scalar, than: UnicodeAge.normalization) || isVedicSign {
            value.insert(.accent)
        }
        if UnicodeAge.isNewer(scalar, than: UnicodeAge.bert) { return value }
        let isASCIISymbol = scalar.isASCII && group == .symbol
        if group == .punctuation || isASCIISymbol || [0x166D, 0x111C9].contains(scalar.value) {
            value.insert(.bertPunctuation)
        }
        if group == .control { value.insert(.bertControl) }
        let wasMark = [0x1734, 0x1171E].contains(scalar.value)
        let wasNoMark = [0x1885, 0x1886, 0xA9BD, 0x111C9].contains(scalar.value)
        if category == .nonspacingMark && !wasNoMark || wasMark { value.insert(.bertMark) }
        return value
    }
}

/// The versions of Unicode that the reference libraries carry.
enum UnicodeAge {
    /// Oniguruma, which runs the regular expressions.
    static let regularExpressions = 16
    /// The crate that normalises.
    static let normalization = 9
    /// The crate of categories that BERT's steps use.
    static let bert = 8

    /// Whether `scalar` came with a version of Unicode after `version`; so do those that are not assigned.
    static func isNewer(_ scalar: Unicode.Scalar, than version: Int) -> Bool {
        if scalar.value < 0x300 { return false }
        if scalar.properties.generalCategory == .privateUse { return false }
        guard let age = scalar.properties.age else { return true }
        return age.major > version
    }
}

/// The classes of the scalars that texts are made of, looked up in a table.
struct ScalarClasses: Sendable {
    static let shared = ScalarClasses()

    /// The table covers the first two planes: every living script, and emoji. Made once; 256 KiB.
    private static let made: [UInt16] = (0..<0x20000).map { value in
        Unicode.Scalar(UInt32(value)).map { ScalarClass(of: $0).rawValue } ?? 0
    }

    private let table = ScalarClasses.made

    @inline(__always)
    subscript(scalar: Unicode.Scalar) -> ScalarClass {
        let index = Int(scalar.value)
        return index < table.count ? ScalarClass(rawValue: table[index]) : ScalarClass(of: scalar)
    }
}
