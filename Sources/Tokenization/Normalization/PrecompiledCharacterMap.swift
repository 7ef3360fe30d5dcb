import Foundation

/// SentencePiece's table of replacements: a double-array trie over UTF-8, whose values are offsets of NUL-ended texts.
///
/// ```
/// UInt32 size of the trie in bytes | trie: UInt32 units | replacements, each ended by a NUL
/// ```
/// All little-endian. A unit: bits 0...7 label, bit 8 "has a leaf", bits 10...30 offset (shifted by 8 when bit 9 is set);
/// a leaf: bits 0...30 value (darts-clone, `DoubleArrayUnit`).
final class PrecompiledCharacterMap: Sendable {
    private static let maxGraphemeBytes = 6
    /// The longest real one has 33.
    private static let maxReplacementBytes = 1024

    private let units: [UInt32]
    private let texts: [UInt8]

    /// - Throws: `TokenizationError` with `malformed` when the sizes do not fit.
    init(_ data: [UInt8], source: String) throws(TokenizationError) {
        func unit(_ index: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(data[index * 4 + $1]) << ($1 * 8) } }
        guard data.count >= 8, unit(0) % 4 == 0, Int(unit(0)) <= data.count - 4 else {
            throw TokenizationError(code: .malformed, message: "\(source): a character map that is cut off")
        }
        let count = Int(unit(0)) / 4
        units = (0..<count).map { unit($0 + 1) }
        texts = Array(data[(4 + count * 4)...])
    }

    /// The replacement of the shortest entry that `bytes` starts with, as the reference does it.
    private func replacement(_ bytes: some Sequence<UInt8>) -> ArraySlice<UInt8>? {
        guard let root = units.first else { return nil }
        var position = Self.offset(root)
        for byte in bytes {
            guard byte != 0 else { return nil }
            position ^= Int(byte)
            guard position < units.count, units[position] & (1 << 31 | 0xFF) == UInt32(byte) else { return nil }
            let unit = units[position]
            position ^= Self.offset(unit)
            if unit >> 8 & 1 != 0 {
                guard position < units.count else { return nil }
                return text(at: Int(units[position] & 0x7FFF_FFFF))
            }
        }
        return nil
    }

    private static func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & (1 << 9)) >> 6)) }

    private func text(at start: Int) -> ArraySlice<UInt8>? {
        guard start < texts.count else { return nil }
        return texts[start...].prefix(Self.maxReplacementBytes).prefix { $0 != 0 }
    }

    /// `text` with short grapheme clusters, or else their scalars, replaced. - Throws: `tooMuchWork`.
    func applied(to text: String, _ budget: TextBudget) throws -> String {
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count)
        let limit = budget.maxByteCount
        for character in text {
            let bytes = character.utf8
            if result.count > limit { try budget.check(byteCount: result.count) }
            if bytes.count < Self.maxGraphemeBytes, let found = replacement(bytes) {
                result.append(contentsOf: found)
                continue
            }
            for scalar in character.unicodeScalars {
                let encoded = UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
                if let found = replacement(encoded) {
                    result.append(contentsOf: found)
                } else {
                    result.append(contentsOf: encoded)
                }
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
