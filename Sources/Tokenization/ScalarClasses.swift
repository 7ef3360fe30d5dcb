/// What regular expressions ask about a Unicode scalar, as bits.
struct ScalarClass: OptionSet, Sendable {
    let rawValue: UInt8

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
    /// `\p{Mn}`
    static let nonspacingMark = ScalarClass(rawValue: 64)
    /// `\p{Cc}`, `\p{Cf}`, `\p{Co}`: control, format and private-use characters.
    static let other = ScalarClass(rawValue: 128)

    init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Asks the standard library; tens of nanoseconds.
    init(of scalar: Unicode.Scalar) {
        var value: ScalarClass = scalar.properties.isWhitespace ? .space : []
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: value.insert(.letter)
        case .decimalNumber, .letterNumber, .otherNumber: value.insert(.number)
        case .nonspacingMark: value.formUnion([.mark, .nonspacingMark])
        case .spacingMark, .enclosingMark: value.insert(.mark)
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            value.insert(.punctuation)
        case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: value.insert(.symbol)
        case .control, .format, .privateUse: value.insert(.other)
        case .spaceSeparator, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: break
        @unknown default: break
        }
        self = value
    }
}

/// The classes of the scalars that texts are made of, looked up in a table.
struct ScalarClasses: Sendable {
    /// The table covers the first two planes: every living script, and emoji. Made once; 128 KiB.
    private static let shared: [UInt8] = (0..<0x20000).map { value in
        Unicode.Scalar(UInt32(value)).map { ScalarClass(of: $0).rawValue } ?? 0
    }

    private let table = ScalarClasses.shared

    subscript(scalar: Unicode.Scalar) -> ScalarClass {
        let index = Int(scalar.value)
        return index < table.count ? ScalarClass(rawValue: table[index]) : ScalarClass(of: scalar)
    }
}
