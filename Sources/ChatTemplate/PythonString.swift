/// Python's string operations. Python's strings are sequences of Unicode scalars, so these work on scalars and UTF-8,
/// never on grapheme clusters.
enum PythonString {
    /// `str.strip`, of white space or of the scalars of `characters`.
    static func strip(_ text: String, _ characters: String? = nil, left: Bool = true, right: Bool = true) -> String {
        let set = characters.map { Set($0.unicodeScalars) }
        func goes(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
        var scalars = text.unicodeScalars[...]
        if left { while let first = scalars.first, goes(first) { scalars.removeFirst() } }
        if right { while let last = scalars.last, goes(last) { scalars.removeLast() } }
        return String(scalars)
    }

    static func contains(_ text: String, _ part: String) -> Bool { find(text, part) != nil }

    /// The index, in scalars, of the first occurrence of `part`.
    static func find(_ text: String, _ part: String) -> Int? {
        let bytes = Array(text.utf8)
        guard let position = occurrences(of: Array(part.utf8), in: bytes, limit: 1).first else { return nil }
        return bytes[..<position].count { $0 & 0xC0 != 0x80 }
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

    /// `str.replace`.
    static func replace(_ text: String, _ old: String, _ new: String, limit: Int = .max) -> String {
        if old.isEmpty {
            var result = ""
            var count = 0
            for scalar in text.unicodeScalars {
                if count < limit { result += new }
                count += 1
                result.unicodeScalars.append(scalar)
            }
            return count < limit ? result + new : result
        }
        return split(text, old, limit: limit).joined(separator: new)
    }

    /// `str.split(separator, limit)`.
    static func split(_ text: String, _ separator: String, limit: Int = .max) -> [String] {
        let bytes = Array(text.utf8)
        let part = Array(separator.utf8)
        var pieces: [String] = []
        var start = 0
        for position in occurrences(of: part, in: bytes, limit: limit) {
            pieces.append(String(decoding: bytes[start..<position], as: UTF8.self))
            start = position + part.count
        }
        pieces.append(String(decoding: bytes[start...], as: UTF8.self))
        return pieces
    }

    /// `str.rsplit(separator, limit)`.
    static func splitFromRight(_ text: String, _ separator: String, limit: Int) -> [String] {
        let pieces = split(text, separator)
        guard limit < pieces.count - 1 else { return pieces }
        let head = pieces[..<(pieces.count - limit)].joined(separator: separator)
        return [head] + pieces[(pieces.count - limit)...]
    }

    /// `str.split()`: words between white space.
    static func words(_ text: String, limit: Int = .max) -> [String] {
        var words: [String] = []
        var rest = text.unicodeScalars[...]
        while true {
            while let first = rest.first, first.isPythonSpace { rest.removeFirst() }
            guard !rest.isEmpty else { return words }
            if words.count == limit {
                words.append(strip(String(rest), left: false))
                return words
            }
            let end = rest.firstIndex(where: \.isPythonSpace) ?? rest.endIndex
            words.append(String(rest[..<end]))
            rest = rest[end...]
        }
    }

    /// `str.splitlines()`.
    static func lines(_ text: String) -> [String] {
        var lines: [String] = []
        var line = String.UnicodeScalarView()
        var isOpen = false
        var afterReturn = false
        for scalar in text.unicodeScalars {
            if scalar == "\n", afterReturn {
                afterReturn = false
                continue
            }
            afterReturn = scalar == "\r"
            switch scalar {
            case "\n", "\r", "\u{0B}", "\u{0C}", "\u{1C}", "\u{1D}", "\u{1E}", "\u{85}", "\u{2028}", "\u{2029}":
                lines.append(String(line))
                line = String.UnicodeScalarView()
                isOpen = false
            default:
                line.append(scalar)
                isOpen = true
            }
        }
        if isOpen { lines.append(String(line)) }
        return lines
    }

    /// `str.capitalize`.
    static func capitalize(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return "" }
        return first.properties.titlecaseMapping + String(text.unicodeScalars.dropFirst()).lowercased()
    }

    /// `str.title`: a letter after something that is no letter is a capital, others are small.
    static func title(_ text: String) -> String {
        var result = ""
        var isInWord = false
        for scalar in text.unicodeScalars {
            result += isInWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
            isInWord = scalar.properties.isCased
        }
        return result
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

    /// A JSON string that keeps everything but what JSON must escape.
    static func json(_ text: String) -> String {
        var result: [UInt8] = [UInt8(ascii: "\"")]
        result.reserveCapacity(text.utf8.count + 2)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): result += "\\\"".utf8
            case UInt8(ascii: "\\"): result += "\\\\".utf8
            case UInt8(ascii: "\n"): result += "\\n".utf8
            case UInt8(ascii: "\r"): result += "\\r".utf8
            case UInt8(ascii: "\t"): result += "\\t".utf8
            case 0x08: result += "\\b".utf8
            case 0x0C: result += "\\f".utf8
            case 0..<0x20: result += "\\u00\(byte < 16 ? "0" : "")\(String(byte, radix: 16))".utf8
            default: result.append(byte)
            }
        }
        result.append(UInt8(ascii: "\""))
        return String(decoding: result, as: UTF8.self)
    }
}
