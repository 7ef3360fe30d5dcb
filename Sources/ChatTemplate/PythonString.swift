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

    /// What `str.strip` leaves, in bytes, when white space or the scalars of `characters` go.
    static func strip(
        _ text: Substring.UnicodeScalarView, _ characters: String? = nil, left: Bool = true, right: Bool = true
    ) -> Range<Int> {
        let set = characters.map { Set($0.unicodeScalars) }
        func goes(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
        var scalars = text
        var start = 0
        var end = scalars.reduce(0) { $0 + UTF8.width($1) }
        if left {
            while let first = scalars.first, goes(first) {
                start += UTF8.width(first)
                scalars.removeFirst()
            }
        }
        if right {
            while let last = scalars.last, goes(last) {
                end -= UTF8.width(last)
                scalars.removeLast()
            }
        }
        return start..<end
    }

    /// `str.strip` of white space.
    static func strip(_ text: String) -> String {
        let scalars = text.unicodeScalars
        guard let start = scalars.firstIndex(where: { !$0.isPythonSpace }),
            let end = scalars.lastIndex(where: { !$0.isPythonSpace })
        else { return "" }
        return String(scalars[start...end])
    }

    static func contains(_ text: String, _ part: String) -> Bool {
        part.isEmpty || !occurrences(of: Array(part.utf8), in: Array(text.utf8), limit: 1).isEmpty
    }

    /// Byte positions where `part` occurs, from the left without overlap. An empty part occurs at 0.
    static func occurrences(of part: [UInt8], in bytes: [UInt8], limit: Int = .max) -> [Int] {
        guard let first = part.first else { return [0] }
        var positions: [Int] = []
        var index = 0
        while index + part.count <= bytes.count, positions.count < limit {
            if bytes[index] == first, bytes[index..<index + part.count].elementsEqual(part) {
                positions.append(index)
                index += part.count
            } else {
                index += 1
            }
        }
        return positions
    }

    /// Byte positions where `part` occurs, from the right without overlap, rightmost first.
    static func occurrencesFromRight(of part: [UInt8], in bytes: [UInt8], limit: Int = .max) -> [Int] {
        var positions: [Int] = []
        var index = bytes.count - part.count
        while index >= 0, positions.count < limit {
            if bytes[index..<index + part.count].elementsEqual(part) {
                positions.append(index)
                index -= part.count
            } else {
                index -= 1
            }
        }
        return positions
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
        let quote: Unicode.Scalar =
            text.utf8.contains(UInt8(ascii: "'")) && !text.utf8.contains(UInt8(ascii: "\"")) ? "\"" : "'"
        var result = String.UnicodeScalarView([quote])
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\r": result.append(contentsOf: "\\r".unicodeScalars)
            case "\t": result.append(contentsOf: "\\t".unicodeScalars)
            case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
            case quote: result.append(contentsOf: ["\\", quote])
            default:
                if isPrintable(scalar) {
                    result.append(scalar)
                } else {
                    let (prefix, width) =
                        scalar.value < 0x100 ? ("\\x", 2) : scalar.value < 0x10000 ? ("\\u", 4) : ("\\U", 8)
                    let hex = String(scalar.value, radix: 16)
                    result.append(
                        contentsOf: (prefix + String(repeating: "0", count: width - hex.count) + hex).unicodeScalars)
                }
            }
        }
        result.append(quote)
        return String(result)
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
