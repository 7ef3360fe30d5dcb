import Foundation

/// Decompositions and compositions of single scalars, made once.
///
/// Foundation gives the decompositions; its composition of texts is not used, as it composes across marks in the wrong
/// order and takes tags for letters.
struct NormalizationTables: Sendable {
    typealias Element = (scalar: Unicode.Scalar, combiningClass: UInt8)

    static let shared = NormalizationTables()

    private static let hangul: ClosedRange<UInt32> = 0xAC00...0xD7A3
    /// Nothing from the third plane on decomposes.
    private static let end: UInt32 = 0x2FA20

    private var canonical: [UInt32: [Unicode.Scalar]] = [:]
    private var compatible: [UInt32: [Unicode.Scalar]] = [:]
    /// First scalar in the upper half, second in the lower.
    private var compositions: [UInt64: Unicode.Scalar] = [:]

    private init() {
        for value in 0xA0..<Self.end where !(0x3400...0x9FFF).contains(value) && !Self.hangul.contains(value) {
            guard let scalar = Unicode.Scalar(value), !UnicodeAge.isNewer(scalar, than: UnicodeAge.normalization) else {
                continue
            }
            let text = String(Character(scalar))
            let parts = Array(text.decomposedStringWithCanonicalMapping.unicodeScalars)
            if parts != [scalar] { canonical[value] = parts }
            let compatibleParts = Array(text.decomposedStringWithCompatibilityMapping.unicodeScalars)
            if compatibleParts != [scalar] { compatible[value] = compatibleParts }
        }
        addCompositions()
    }

    /// A scalar that composing leaves alone comes of its first scalar, composed as far as that goes, and its last.
    private mutating func addCompositions() {
        for (value, parts) in canonical.sorted(by: { ($0.value.count, $0.key) < ($1.value.count, $1.key) }) {
            guard let scalar = Unicode.Scalar(value), parts.count > 1,
                Array(String(Character(scalar)).precomposedStringWithCanonicalMapping.unicodeScalars) == [scalar]
            else { continue }
            var first = parts[0]
            for part in parts[1..<(parts.count - 1)] { first = compositions[Self.key(first, part)] ?? first }
            compositions[Self.key(first, parts[parts.count - 1])] = scalar
        }
    }

    private static func key(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> UInt64 {
        UInt64(first.value) << 32 | UInt64(second.value)
    }

    static func combiningClass(_ scalar: Unicode.Scalar) -> UInt8 {
        if scalar.value < 0x300 || UnicodeAge.isNewer(scalar, than: UnicodeAge.normalization) { return 0 }
        return scalar.properties.canonicalCombiningClass.rawValue
    }

    func decompose(_ scalar: Unicode.Scalar, isCompatible: Bool, _ body: (Unicode.Scalar) -> Void) {
        let value = scalar.value
        if Self.hangul.contains(value) {
            let index = value - 0xAC00
            let parts = [0x1100 + index / 588, 0x1161 + index % 588 / 28, 0x11A7 + index % 28]
            for part in parts where part != 0x11A7 { if let jamo = Unicode.Scalar(part) { body(jamo) } }
        } else if let parts = isCompatible ? compatible[value] ?? canonical[value] : canonical[value] {
            parts.forEach(body)
        } else {
            body(scalar)
        }
    }

    /// Sorts each run of marks by their class, stably.
    static func reorder(_ scalars: inout [Element]) {
        var start = 0
        while start < scalars.count {
            guard scalars[start].combiningClass != 0 else {
                start += 1
                continue
            }
            var end = start
            while end < scalars.count, scalars[end].combiningClass != 0 { end += 1 }
            let sorted = scalars[start..<end].enumerated().sorted {
                ($0.element.combiningClass, $0.offset) < ($1.element.combiningClass, $1.offset)
            }
            scalars.replaceSubrange(start..<end, with: sorted.map(\.element))
            start = end
        }
    }

    func compose(_ scalars: inout [Element]) {
        var result: [Element] = []
        result.reserveCapacity(scalars.count)
        var starter: Int?
        for element in scalars {
            // A mark of the same or a higher class between, or another starter, blocks.
            let isBlocked = starter.map {
                $0 != result.count - 1 && (result[result.count - 1].combiningClass >= element.combiningClass)
            }
            if let starter, isBlocked == false, let composed = composition(result[starter].scalar, element.scalar) {
                result[starter].scalar = composed
                continue
            }
            if element.combiningClass == 0 { starter = result.count }
            result.append(element)
        }
        scalars = result
    }

    private func composition(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
        let (lead, vowel) = (first.value, second.value)
        if (0x1100...0x1112).contains(lead), (0x1161...0x1175).contains(vowel) {
            return Unicode.Scalar(0xAC00 + ((lead - 0x1100) * 21 + vowel - 0x1161) * 28)
        }
        if Self.hangul.contains(lead), (lead - 0xAC00) % 28 == 0, (0x11A8...0x11C2).contains(vowel) {
            return Unicode.Scalar(lead + vowel - 0x11A7)
        }
        return compositions[Self.key(first, second)]
    }
}
