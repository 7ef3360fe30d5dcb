import Foundation

/// Finds the members of one object inside a JSON text, as bytes.
///
/// Foundation's dictionaries are keyed by `String`, whose equality is canonical equivalence: of two tokens that differ
/// only in how an accent is composed, one would be lost. Vocabularies hold such pairs.
struct VocabularyScanner {
    private let bytes: [UInt8]
    private var index = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The members of the object at `path`, such as `["model", "vocab"]`, in order; values must be whole numbers.
    ///
    /// - Returns: nil when there is no such object, or the text is not the JSON that is expected.
    static func numbers(in bytes: [UInt8], at path: [String]) -> [(key: [UInt8], value: Int)]? {
        var scanner = VocabularyScanner(bytes)
        guard scanner.descend(path[...]) else { return nil }
        return scanner.numbers()
    }

    /// Moves to the value of the path's last key.
    private mutating func descend(_ path: ArraySlice<String>) -> Bool {
        guard let wanted = path.first else { return true }
        guard consume(UInt8(ascii: "{")) else { return false }
        while let key = string(), consume(UInt8(ascii: ":")) {
            if key == Array(wanted.utf8) { return descend(path.dropFirst()) }
            guard skipValue(), consume(UInt8(ascii: ",")) else { return false }
        }
        return false
    }

    private mutating func numbers() -> [(key: [UInt8], value: Int)]? {
        var members: [(key: [UInt8], value: Int)] = []
        guard consume(UInt8(ascii: "{")) else { return nil }
        if consume(UInt8(ascii: "}")) { return members }
        repeat {
            guard let key = string(), consume(UInt8(ascii: ":")), let value = number() else { return nil }
            members.append((key, value))
        } while consume(UInt8(ascii: ","))
        return consume(UInt8(ascii: "}")) ? members : nil
    }

    /// Over any value; brackets are counted, so depth costs nothing.
    private mutating func skipValue() -> Bool {
        var depth = 0
        repeat {
            skipSpace()
            guard index < bytes.count else { return false }
            switch bytes[index] {
            case UInt8(ascii: "\""):
                guard string() != nil else { return false }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                index += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard depth > 0 else { return false }
                depth -= 1
                index += 1
            case UInt8(ascii: ","), UInt8(ascii: ":"):
                guard depth > 0 else { return false }
                index += 1
            default:
                while index < bytes.count, !Self.endsScalar.contains(bytes[index]) { index += 1 }
            }
        } while depth > 0 || !isAtEndOfValue
        return true
    }

    private static let endsScalar = Set(",:]}[{\" \n\r\t".utf8)

    /// Whether what follows can only stand after a whole value.
    private var isAtEndOfValue: Bool {
        var next = index
        while next < bytes.count, Self.spaces.contains(bytes[next]) { next += 1 }
        return next == bytes.count || bytes[next] == UInt8(ascii: ",") || bytes[next] == UInt8(ascii: "}")
            || bytes[next] == UInt8(ascii: "]")
    }

    private mutating func number() -> Int? {
        skipSpace()
        let start = index
        while index < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[index]) { index += 1 }
        return Int(String(decoding: bytes[start..<index], as: UTF8.self))
    }

    /// A string's UTF-8, escapes resolved.
    private mutating func string() -> [UInt8]? {
        guard consume(UInt8(ascii: "\"")) else { return nil }
        var text: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return text
            case UInt8(ascii: "\\"):
                guard let escaped = escape() else { return nil }
                text += escaped
            default: text.append(byte)
            }
        }
        return nil
    }

    private mutating func escape() -> [UInt8]? {
        guard index < bytes.count else { return nil }
        let byte = bytes[index]
        index += 1
        switch byte {
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "u"):
            guard var code = hexDigits() else { return nil }
            if code & 0xFC00 == 0xD800 {
                guard index + 1 < bytes.count, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u")
                else { return nil }
                index += 2
                guard let low = hexDigits(), low & 0xFC00 == 0xDC00 else { return nil }
                code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
            }
            return Unicode.Scalar(code).flatMap { UTF8.encode($0).map(Array.init) }
        default: return [byte]
        }
    }

    private mutating func hexDigits() -> UInt32? {
        guard index + 4 <= bytes.count else { return nil }
        let digits = String(decoding: bytes[index..<index + 4], as: UTF8.self)
        index += 4
        return UInt32(digits, radix: 16)
    }

    private static let spaces = Set(" \n\r\t".utf8)

    private mutating func skipSpace() {
        while index < bytes.count, Self.spaces.contains(bytes[index]) { index += 1 }
    }

    private mutating func consume(_ byte: UInt8) -> Bool {
        skipSpace()
        guard index < bytes.count, bytes[index] == byte else { return false }
        index += 1
        return true
    }
}
