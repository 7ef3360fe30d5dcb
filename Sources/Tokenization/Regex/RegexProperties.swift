/// The names in `\p{...}` that are not general categories.
enum RegexProperties {
    static func named(_ name: String) -> ScalarSet.Item? {
        if let mask = GeneralCategories.named(name) { return .categories(mask) }
        switch name {
        case "Letter", "L&": return GeneralCategories.named("L").map { .categories($0) }
        case "Han": return .union(han.map { .range($0) })
        case "Hiragana": return .union([0x3041...0x3096, 0x309D...0x309F, 0x1B001...0x1B11F].map { .range($0) })
        case "Katakana":
            return .union([0x30A1...0x30FA, 0x30FD...0x30FF, 0x31F0...0x31FF, 0xFF66...0xFF6F].map { .range($0) })
        case "Hangul":
            return .union([0x1100...0x11FF, 0x3131...0x318E, 0xA960...0xA97C, 0xAC00...0xD7A3].map { .range($0) })
        default: return nil
        }
    }

    /// Scalars of the script Han (Unicode 16, Scripts.txt).
    private static let han: [ClosedRange<UInt32>] = [
        0x2E80...0x2E99, 0x2E9B...0x2EF3, 0x2F00...0x2FD5, 0x3005...0x3005, 0x3007...0x3007, 0x3021...0x3029,
        0x3038...0x303B, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFA6D, 0xFA70...0xFAD9, 0x16FE2...0x16FE3,
        0x16FF0...0x16FF1, 0x20000...0x2A6DF, 0x2A700...0x2B739, 0x2B740...0x2B81D, 0x2B820...0x2CEA1,
        0x2CEB0...0x2EBE0, 0x2EBF0...0x2EE5D, 0x2F800...0x2FA1D, 0x30000...0x3134A, 0x31350...0x323AF,
    ]
}
