import Foundation

/// Unicode's normalisation forms.
enum UnicodeForm: String, Sendable {
    case composed = "NFC"
    case decomposed = "NFD"
    case compatibilityComposed = "NFKC"
    case compatibilityDecomposed = "NFKD"

    /// `text` in this form.
    func applied(to text: String) -> String {
        if isKept(text) { return text }
        // To the reference, scalars newer than its tables are letters that nothing composes with.
        var result = ""
        var known = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            // Foundation takes tags (plane 14) for the ASCII letters they mirror; no form has anything from there on.
            let isBeyond = scalar.value >= 0x30000
            if isBeyond || UnicodeAge.isNewer(scalar, than: UnicodeAge.normalization) {
                result += mapped(String(known))
                result.unicodeScalars.append(scalar)
                known = .init()
            } else {
                known.append(scalar)
            }
        }
        return result + mapped(String(known))
    }

    private func mapped(_ text: String) -> String {
        switch self {
        case .composed: text.precomposedStringWithCanonicalMapping
        case .decomposed: text.decomposedStringWithCanonicalMapping
        case .compatibilityComposed: text.precomposedStringWithCompatibilityMapping
        case .compatibilityDecomposed: text.decomposedStringWithCompatibilityMapping
        }
    }

    /// Whether `text` is certainly in this form already: Foundation is slow, and nearly all text is.
    func isKept(_ text: String) -> Bool { text.unicodeScalars.allSatisfy { isInert($0.value) } }

    private func isInert(_ value: UInt32) -> Bool {
        switch value {
        case 0..<0x80: true
        // CJK ideographs and punctuation, kana without voiced ones, general punctuation, emoji.
        case 0x4E00...0x9FFF, 0x3001...0x3029, 0x2010, 0x2012...0x2016, 0x2018...0x2023, 0x1F600...0x1F6FF: true
        case 0xA1...0x2FF, 0x400...0x482, 0x5D0...0x5EA, 0xAC00...0xD7A3, 0x3041...0x3096, 0x30A1...0x30FA,
            0xFF01...0xFF5E:
            self == .composed
        default: false
        }
    }
}
