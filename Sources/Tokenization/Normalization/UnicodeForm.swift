/// Unicode's normalisation forms (UAX #15), by the version of Unicode that the reference's tables have: newer scalars
/// are letters that nothing composes with.
enum UnicodeForm: String, Sendable {
    case composed = "NFC"
    case decomposed = "NFD"
    case compatibilityComposed = "NFKC"
    case compatibilityDecomposed = "NFKD"

    private var isCompatible: Bool { self == .compatibilityComposed || self == .compatibilityDecomposed }
    private var composes: Bool { self == .composed || self == .compatibilityComposed }

    /// `text` in this form.
    func applied(to text: String) -> String {
        if isKept(text) { return text }
        let tables = NormalizationTables.shared
        var scalars: [NormalizationTables.Element] = []
        for scalar in text.unicodeScalars {
            tables.decompose(scalar, isCompatible: isCompatible) { part in
                scalars.append((part, NormalizationTables.combiningClass(part)))
            }
        }
        NormalizationTables.reorder(&scalars)
        if composes { tables.compose(&scalars) }
        var result = String.UnicodeScalarView()
        result.append(contentsOf: scalars.lazy.map(\.scalar))
        return String(result)
    }

    /// Whether `text` is certainly in this form already: nearly all text is.
    func isKept(_ text: String) -> Bool { text.unicodeScalars.allSatisfy { isInert($0.value) } }

    private func isInert(_ value: UInt32) -> Bool {
        switch value {
        case 0..<0x80: true
        // CJK ideographs and punctuation, general punctuation, emoji.
        case 0x4E00...0x9FFF, 0x3001...0x3029, 0x2010, 0x2012...0x2016, 0x2018...0x2023, 0x1F600...0x1F6FF: true
        case 0xA1...0x2FF, 0x400...0x482, 0x5D0...0x5EA, 0xAC00...0xD7A3, 0x3041...0x3096, 0x30A1...0x30FA,
            0xFF01...0xFF5E:
            self == .composed
        default: false
        }
    }
}
