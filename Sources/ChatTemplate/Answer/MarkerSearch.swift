/// Finds markers in text that comes in pieces.
enum MarkerSearch {
    /// The first marker in `bytes` from `start` on; of several at one place the longest.
    static func first(of markers: [[UInt8]], in bytes: [UInt8], from start: Int = 0) -> (range: Range<Int>, index: Int)?
    {
        for position in bytes.indices.dropFirst(start) {
            var found: (range: Range<Int>, index: Int)?
            for (index, marker) in markers.enumerated()
            where bytes[position] == marker[0] && marker.count > (found?.range.count ?? 0)
                && bytes[position...].starts(with: marker)
            {
                found = (position..<position + marker.count, index)
            }
            if let found { return found }
        }
        return nil
    }

    /// Length of the longest end of `bytes` that may be the beginning of a marker.
    static func partialSuffixLength(of markers: [[UInt8]], in bytes: [UInt8]) -> Int {
        let longest = min(bytes.count, (markers.map(\.count).max() ?? 1) - 1)
        for length in stride(from: longest, to: 0, by: -1) {
            let suffix = bytes.suffix(length)
            if markers.contains(where: { $0.count > length && $0.starts(with: suffix) }) { return length }
        }
        return 0
    }

    /// The bytes of `text` from `start` on without white space in front: where they begin.
    static func skippingSpace(_ bytes: [UInt8], from start: Int = 0) -> Int {
        bytes.indices.dropFirst(start).first { !isSpace(bytes[$0]) } ?? bytes.count
    }

    /// How many bytes of white space `bytes` end in, before the last `held` bytes.
    static func trailingSpaceLength(_ bytes: [UInt8], before held: Int) -> Int {
        bytes.dropLast(held).reversed().prefix(while: isSpace).count
    }

    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}
