/// Byte-level facts about UTF-8 that the extractors and the chunker share.
package enum UTF8Scanner {
    /// Offset of the first byte that does not belong to well-formed UTF-8 (Unicode 15, table 3-7), or nil.
    package static func firstInvalidOffset(in bytes: [UInt8]) -> Int? {
        bytes.withUnsafeBufferPointer { buffer in
            var index = 0
            while index < buffer.count {
                let lead = buffer[index]
                if lead < 0x80 {
                    index += 1
                    continue
                }
                // Length of the sequence, and the allowed range of its second byte.
                let length: Int
                var low: UInt8 = 0x80
                var high: UInt8 = 0xBF
                switch lead {
                case 0xC2...0xDF: length = 2
                case 0xE0: (length, low) = (3, 0xA0)
                case 0xED: (length, high) = (3, 0x9F)
                case 0xE1...0xEF: length = 3
                case 0xF0: (length, low) = (4, 0x90)
                case 0xF4: (length, high) = (4, 0x8F)
                case 0xF1...0xF3: length = 4
                default: return index
                }
                guard index + length <= buffer.count, (low...high).contains(buffer[index + 1]) else { return index }
                for next in 2..<max(length, 2) where !(0x80...0xBF).contains(buffer[index + next]) { return index }
                index += length
            }
            return nil
        }
    }

    /// Space, tab, line feed, vertical tab, form feed or carriage return.
    package static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    /// True when a character may begin at this byte.
    static func isBoundary(_ byte: UInt8) -> Bool { byte & 0xC0 != 0x80 }
}
