import Crypto

/// Makes ids that cannot be guessed: 96 random bits from the system.
enum StoreIdentifier {
    static func file() -> String { "file-" + hexadecimal() }
    static func vectorStore() -> String { "vs_" + hexadecimal() }

    private static func hexadecimal() -> String {
        var generator = SystemRandomNumberGenerator()
        let high = generator.next()
        let low = generator.next()
        return (0..<12).map { index in
            Self.hex(UInt8(truncatingIfNeeded: (index < 8 ? high : low) >> UInt64(8 * (index % 8))))
        }.joined()
    }

    /// Two lower-case digits.
    static func hex(_ byte: UInt8) -> String {
        let digits = Array("0123456789abcdef")
        return String([digits[Int(byte >> 4)], digits[Int(byte & 15)]])
    }

    static func hex(_ bytes: some Sequence<UInt8>) -> String { bytes.map(hex).joined() }

    /// SHA-256 of a string's UTF-8, hex.
    static func sha256(_ text: String) -> String { hex(SHA256.hash(data: Array(text.utf8))) }
}
