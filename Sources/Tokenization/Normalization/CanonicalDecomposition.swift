import Foundation

/// Canonical decompositions (NFD) of single scalars.
///
/// Foundation decomposes strings, slowly; texts need it scalar by scalar and fast. Hangul is computed, the rest comes
/// from a table that is made once.
struct CanonicalDecomposition: Sendable {
    /// The blocks that hold scalars with decompositions, Hangul syllables excepted.
    private static let blocks: [ClosedRange<UInt32>] = [
        0xC0...0x1FFF, 0x2000...0x30FF, 0xF900...0xFAFF, 0xFB1D...0xFB4E, 0x10500...0x105FF, 0x11000...0x11FFF,
        0x16100...0x16DFF, 0x1D15E...0x1D1C0, 0x2F800...0x2FA1D,
    ]

    private static let shared: [UInt32: [Unicode.Scalar]] = {
        var table: [UInt32: [Unicode.Scalar]] = [:]
        for value in blocks.joined() {
            guard let scalar = Unicode.Scalar(value),
                !UnicodeAge.isNewer(scalar, than: UnicodeAge.normalization)
            else { continue }
            let text = String(Character(scalar))
            let decomposed = Array(text.decomposedStringWithCanonicalMapping.unicodeScalars)
            if decomposed != [scalar] { table[value] = decomposed }
        }
        return table
    }()

    private let table = CanonicalDecomposition.shared

    /// Calls `body` with each scalar of the decomposition of `scalar`.
    func forEach(in scalar: Unicode.Scalar, _ body: (Unicode.Scalar) -> Void) {
        let value = scalar.value
        if value < 0xC0 { return body(scalar) }
        if value >= 0xAC00, value <= 0xD7A3 {
            let index = value - 0xAC00
            let parts = [0x1100 + index / 588, 0x1161 + index % 588 / 28, 0x11A7 + index % 28]
            for part in parts where part != 0x11A7 { if let jamo = Unicode.Scalar(part) { body(jamo) } }
            return
        }
        if let decomposed = table[value] { decomposed.forEach(body) } else { body(scalar) }
    }
}
