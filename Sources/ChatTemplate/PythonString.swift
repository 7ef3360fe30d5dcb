/// Python's string operations. Python's strings are sequences of Unicode scalars, so these work on scalars and UTF-8,
/// never on grapheme clusters.
enum PythonString {
    /// Byte offsets of the scalars of `text`, and its byte count at the end.
    static func offsets(_ text: String) -> [Int] {
        var offsets = [0]
        offsets.reserveCapacity(text.utf8.count + 1)
        var position = 0
        for scalar in text.unicodeScalars {
            position += UTF8.width(scalar)
            offsets.append(position)
        }
        return offsets
    }

    /// `count` copies, for short texts many times faster than `String(repeating:count:)`.
    static func repeated(_ text: String, _ count: Int) -> String {
        guard count > 0, text.utf8.count < 16 else { return String(repeating: text, count: max(count, 0)) }
        let part = Array(text.utf8)
        guard part.count > 1 else {
            return part.first.map { String(decoding: [UInt8](repeating: $0, count: count), as: UTF8.self) } ?? ""
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(part.count * count)
        for _ in 0..<count { bytes += part }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Number of scalars.
    static func count(_ text: String) -> Int {
        text.utf8.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
    }

    /// The byte offset of the scalar `index` places after the one at byte `start`; there must be one, or the end.
    static func offset(of index: Int, in text: String, from start: Int = 0) -> Int {
        let utf8 = text.utf8
        var position = utf8.index(utf8.startIndex, offsetBy: start)
        var offset = start
        for _ in 0..<index {
            repeat {
                utf8.formIndex(after: &position)
                offset += 1
            } while position < utf8.endIndex && utf8[position] & 0xC0 == 0x80
        }
        return offset
    }

    /// What `str.strip` leaves, in bytes, when white space or the scalars of `characters` go.
    static func strip(
        _ text: String, _ characters: String? = nil, left: Bool = true, right: Bool = true
    ) -> Range<Int> {
        let set = characters.map { Set($0.unicodeScalars) }
        func goes(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
        var scalars = text.unicodeScalars[...]
        var start = 0
        var end = text.utf8.count
        while left, let first = scalars.first, goes(first) {
            start += UTF8.width(first)
            scalars.removeFirst()
        }
        while right, let last = scalars.last, goes(last) {
            end -= UTF8.width(last)
            scalars.removeLast()
        }
        return start..<end
    }

    static func contains(_ text: String, _ part: String) -> Bool {
        part.isEmpty || !occurrences(of: Array(part.utf8), in: Array(text.utf8), limit: 1).isEmpty
    }

    /// Byte positions where `part` occurs, from the left without overlap. An empty part occurs at 0.
    ///
    /// Knuth, Morris and Pratt's search: the time is linear in both lengths, whatever they hold.
    static func occurrences(of part: [UInt8], in bytes: [UInt8], limit: Int = .max) -> [Int] {
        guard !part.isEmpty else { return [0] }
        guard part.count <= bytes.count, limit > 0 else { return [] }
        // For each beginning of the part, the length of its longest end that is a beginning too.
        var borders = [Int](repeating: 0, count: part.count)
        var length = 0
        for index in 1..<part.count {
            while length > 0, part[index] != part[length] { length = borders[length - 1] }
            if part[index] == part[length] { length += 1 }
            borders[index] = length
        }
        var positions: [Int] = []
        length = 0
        for index in bytes.indices {
            while length > 0, bytes[index] != part[length] { length = borders[length - 1] }
            if bytes[index] == part[length] { length += 1 }
            guard length == part.count else { continue }
            length = 0
            positions.append(index + 1 - part.count)
            if positions.count >= limit { break }
        }
        return positions
    }

    /// Byte positions where `part` occurs, from the right without overlap, rightmost first. An empty part occurs at the end.
    static func occurrencesFromRight(of part: [UInt8], in bytes: [UInt8], limit: Int = .max) -> [Int] {
        guard !part.isEmpty else { return [bytes.count] }
        return occurrences(of: part.reversed(), in: bytes.reversed(), limit: limit).map {
            bytes.count - $0 - part.count
        }
    }

    /// The bytes between `positions`, at each of which a separator of `length` bytes stands.
    private static func pieces(between positions: [Int], length: Int, in count: Int) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var start = 0
        for position in positions {
            pieces.append(start..<position)
            start = position + length
        }
        pieces.append(start..<count)
        return pieces
    }

    /// `str.split(separator, limit)`, as byte ranges.
    static func split(_ text: String, _ separator: String, limit: Int = .max) -> [Range<Int>] {
        let (bytes, part) = (Array(text.utf8), Array(separator.utf8))
        return pieces(
            between: occurrences(of: part, in: bytes, limit: limit), length: part.count, in: bytes.count)
    }

    /// `str.rsplit(separator, limit)`, as byte ranges.
    static func splitFromRight(_ text: String, _ separator: String, limit: Int) -> [Range<Int>] {
        let (bytes, part) = (Array(text.utf8), Array(separator.utf8))
        return pieces(
            between: occurrencesFromRight(of: part, in: bytes, limit: limit).reversed(), length: part.count,
            in: bytes.count)
    }

    /// `str.split()`, as byte ranges: words between white space.
    static func words(_ text: String, limit: Int = .max) -> [Range<Int>] {
        var words: [Range<Int>] = []
        var start: Int?
        var position = 0
        for scalar in text.unicodeScalars {
            if !scalar.isPythonSpace {
                if start == nil { start = position }
            } else if let first = start, words.count < limit {
                words.append(first..<position)
                start = nil
            }
            position += UTF8.width(scalar)
        }
        // The last word of a limited split goes on to the end, white space at the end included.
        if let first = start {
            words.append(first..<position)
        }
        return words
    }

    /// `str.rsplit(None, limit)`, as byte ranges.
    static func wordsFromRight(_ text: String, limit: Int) -> [Range<Int>] {
        let all = words(text)
        guard limit < all.count else { return all }
        let kept = Array(all.suffix(limit))
        return [0..<all[all.count - limit - 1].upperBound] + kept
    }

    /// `str.splitlines(keepends)`, as byte ranges.
    static func lines(_ text: String, keepsEnds: Bool = false) -> [Range<Int>] {
        var lines: [Range<Int>] = []
        var start = 0
        var position = 0
        var afterReturn = false
        for scalar in text.unicodeScalars {
            let next = position + UTF8.width(scalar)
            if scalar == "\n", afterReturn {
                // The second half of one line break.
                if keepsEnds { lines[lines.count - 1] = lines[lines.count - 1].lowerBound..<next }
                start = next
            } else if isLineBreak(scalar) {
                lines.append(start..<(keepsEnds ? next : position))
                start = next
            }
            afterReturn = scalar == "\r"
            position = next
        }
        if start < position { lines.append(start..<position) }
        return lines
    }

    private static func isLineBreak(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "\n", "\r", "\u{0B}", "\u{0C}", "\u{1C}", "\u{1D}", "\u{1E}", "\u{85}", "\u{2028}", "\u{2029}": true
        default: false
        }
    }

    /// `repr(text)`.
    static func representation(of text: String) -> String {
        let quote =
            text.utf8.contains(UInt8(ascii: "'")) && !text.utf8.contains(UInt8(ascii: "\""))
            ? UInt8(ascii: "\"") : UInt8(ascii: "'")
        var result = [quote]
        result.reserveCapacity(text.utf8.count + 2)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n".utf8
            case "\r": result += "\\r".utf8
            case "\t": result += "\\t".utf8
            case "\\": result += "\\\\".utf8
            case _ where scalar.value == UInt32(quote): result += [UInt8(ascii: "\\"), quote]
            case _ where (0x20...0x7E).contains(scalar.value): result.append(UInt8(scalar.value))
            case _ where isPrintable(scalar): result += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
            default:
                let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
                result += "\\\(letter)".utf8
                for shift in (0..<width).reversed() {
                    let digit = UInt8(scalar.value >> (UInt32(shift) * 4) & 0xF)
                    result.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
                }
            }
        }
        result.append(quote)
        return String(decoding: result, as: UTF8.self)
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: scalar == " "
        default: true
        }
    }

    /// The inside of a JSON string: what JSON must escape, and with `isASCII` all that is not ASCII, is escaped.
    static func jsonEscaped(_ text: String, isASCII: Bool) -> String {
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count + 2)
        func appendHex(_ unit: UInt16) {
            let digits = String(unit, radix: 16)
            result += "\\u".utf8
            result += String(repeating: "0", count: 4 - digits.utf8.count).utf8
            result += digits.utf8
        }
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\"".utf8
            case "\\": result += "\\\\".utf8
            case "\n": result += "\\n".utf8
            case "\r": result += "\\r".utf8
            case "\t": result += "\\t".utf8
            case "\u{08}": result += "\\b".utf8
            case "\u{0C}": result += "\\f".utf8
            case _ where scalar.value < 0x20: appendHex(UInt16(scalar.value))
            case _ where isASCII && scalar.value >= 0x7F:
                for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter { appendHex(unit) }
            default: result += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
