/// GPT-2's way of writing any byte as a visible character, in which vocabularies are stored.
///
/// Printable Latin-1 stands for itself; the other 68 bytes are U+0100 onwards, in order.
enum ByteAlphabet {
    /// The character of each byte.
    static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 256
        return (0..<256).map { byte in
            let isPrintable = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
            if isPrintable { return Unicode.Scalar(UInt8(byte)) }
            defer { next += 1 }
            return Unicode.Scalar(next) ?? "\u{FFFD}"
        }
    }()

    /// The UTF-8 form of the character of each byte.
    static let utf8: [[UInt8]] = scalars.map { Array(String($0).utf8) }

    private static let bytes: [UInt8?] = {
        var bytes = [UInt8?](repeating: nil, count: 324)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = UInt8(byte) }
        return bytes
    }()

    /// The bytes that `text` stands for, nil when it holds a character outside the alphabet.
    static func decode(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            let lead = text[index]
            let value: Int
            if lead < 0x80 {
                value = Int(lead)
                index += 1
            } else if lead < 0xE0, index + 1 < text.count {
                value = Int(lead & 0x1F) << 6 | Int(text[index + 1] & 0x3F)
                index += 2
            } else {
                return nil
            }
            guard value < bytes.count, let byte = bytes[value] else { return nil }
            result.append(byte)
        }
        return result
    }
}
