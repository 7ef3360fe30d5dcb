extension JinjaValue {
    /// The value that JSON text stands for; objects keep the order of their keys.
    ///
    /// Of a key that occurs twice the last value counts. Numbers without fraction or exponent that fit 64 bits are
    /// integers.
    /// - Throws: `ChatTemplateError` with `invalidJSON`, naming the byte, for anything else than one JSON value
    ///   nested at most 64 deep.
    package init(json text: String) throws(ChatTemplateError) {
        var parser = JSONParser(bytes: Array(text.utf8))
        self = try parser.document()
    }
}

/// Reads JSON text.
struct JSONParser {
    static let maxDepth = 64

    let bytes: [UInt8]
    var index = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    /// The members of the object that is all of the text, with the bytes of their values.
    mutating func objectMembers() throws(ChatTemplateError) -> [(key: String, value: JinjaValue, range: Range<Int>)] {
        var members: [(key: String, value: JinjaValue, range: Range<Int>)] = []
        skipSpace()
        guard consume("{") else { throw error("expected an object") }
        skipSpace()
        if !consume("}") {
            repeat {
                skipSpace()
                guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { throw error("expected a key") }
                let key = try string()
                skipSpace()
                guard consume(":") else { throw error("expected \":\"") }
                skipSpace()
                let start = index
                let value = try value(depth: 1)
                members.append((key, value, start..<index))
                skipSpace()
            } while consume(",")
            guard consume("}") else { throw error("expected \",\" or \"}\"") }
        }
        skipSpace()
        guard index == bytes.count else { throw error("expected the end") }
        return members
    }

    mutating func document() throws(ChatTemplateError) -> JinjaValue {
        let value = try value(depth: 0)
        skipSpace()
        guard index == bytes.count else { throw error("expected the end") }
        return value
    }

    private func error(_ message: String) -> ChatTemplateError {
        ChatTemplateError(code: .invalidJSON, message: "JSON, byte \(index): \(message)")
    }

    private mutating func skipSpace() {
        while index < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[index]) { index += 1 }
    }

    private mutating func consume(_ character: Unicode.Scalar) -> Bool {
        guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func consume(word: StaticString) -> Bool {
        word.withUTF8Buffer { word in
            guard bytes[index...].starts(with: word) else { return false }
            index += word.count
            return true
        }
    }

    private mutating func value(depth: Int) throws(ChatTemplateError) -> JinjaValue {
        guard depth < Self.maxDepth else { throw error("nested deeper than \(Self.maxDepth)") }
        skipSpace()
        guard index < bytes.count else { throw error("expected a value, got the end") }
        switch bytes[index] {
        case UInt8(ascii: "{"): return .object(try object(depth: depth))
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        default:
            if consume(word: "true") { return .bool(true) }
            if consume(word: "false") { return .bool(false) }
            if consume(word: "null") { return .none }
            return try number()
        }
    }

    private mutating func object(depth: Int) throws(ChatTemplateError) -> JinjaObject {
        var object = JinjaObject()
        index += 1
        skipSpace()
        if consume("}") { return object }
        repeat {
            skipSpace()
            guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else { throw error("expected a key") }
            let key = try string()
            skipSpace()
            guard consume(":") else { throw error("expected \":\"") }
            object[key] = try value(depth: depth + 1)
            skipSpace()
        } while consume(",")
        guard consume("}") else { throw error("expected \",\" or \"}\"") }
        return object
    }

    private mutating func array(depth: Int) throws(ChatTemplateError) -> [JinjaValue] {
        var values: [JinjaValue] = []
        index += 1
        skipSpace()
        if consume("]") { return values }
        repeat {
            values.append(try value(depth: depth + 1))
            skipSpace()
        } while consume(",")
        guard consume("]") else { throw error("expected \",\" or \"]\"") }
        return values
    }

    private mutating func number() throws(ChatTemplateError) -> JinjaValue {
        let start = index
        func digits() -> Bool {
            let first = index
            while index < bytes.count, (0x30...0x39).contains(bytes[index]) { index += 1 }
            return index > first
        }
        _ = consume("-")
        let integerStart = index
        guard digits(), bytes[integerStart] != 0x30 || index == integerStart + 1 else {
            throw error("expected a value")
        }
        var isInteger = true
        if consume(".") {
            isInteger = false
            guard digits() else { throw error("expected digits") }
        }
        if consume("e") || consume("E") {
            isInteger = false
            if !consume("+") { _ = consume("-") }
            guard digits() else { throw error("expected digits") }
        }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        if isInteger, let value = Int(text) { return .int(value) }
        guard let value = Double(text), value.isFinite else { throw error("a number out of range") }
        return .double(value)
    }

    private mutating func string() throws(ChatTemplateError) -> String {
        index += 1
        var text: [UInt8] = []
        while true {
            guard index < bytes.count else { throw error("expected the end of a string") }
            let byte = bytes[index]
            guard byte >= 0x20 else { throw error("a control character in a string") }
            index += 1
            if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
            if byte == UInt8(ascii: "\\") { try escape(into: &text) } else { text.append(byte) }
        }
    }

    private mutating func escape(into text: inout [UInt8]) throws(ChatTemplateError) {
        guard index < bytes.count else { throw error("expected an escape") }
        let byte = bytes[index]
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var code = try hexDigits()
            if code & 0xFC00 == 0xD800, consume("\\") {
                guard consume("u") else { throw error("expected the second half of a surrogate pair") }
                let low = try hexDigits()
                guard low & 0xFC00 == 0xDC00 else { throw error("half a surrogate pair") }
                code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
            text += Array(String(scalar).utf8)
        default: throw error("an unknown escape")
        }
    }

    private mutating func hexDigits() throws(ChatTemplateError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard index < bytes.count, let digit = Character(Unicode.Scalar(bytes[index])).hexDigitValue else {
                throw error("expected four hexadecimal digits")
            }
            code = code << 4 | UInt32(digit)
            index += 1
        }
        return code
    }
}
