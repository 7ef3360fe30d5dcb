/// Appends JSON to bytes. Used by hand on the per-token path, where a tree of values would cost more than its content.
package struct JSONWriter {
    /// The document so far.
    package private(set) var bytes: [UInt8] = []
    /// Whether the next member or element needs a comma first.
    private var needsComma = false

    package init() {
        bytes.reserveCapacity(256)
    }

    package var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Starts an object; `body` writes its members.
    package mutating func object(_ body: (inout JSONWriter) -> Void) {
        separate()
        bytes.append(UInt8(ascii: "{"))
        needsComma = false
        body(&self)
        bytes.append(UInt8(ascii: "}"))
        needsComma = true
    }

    /// Starts an array; `body` writes its elements.
    package mutating func array(_ body: (inout JSONWriter) -> Void) {
        separate()
        bytes.append(UInt8(ascii: "["))
        needsComma = false
        body(&self)
        bytes.append(UInt8(ascii: "]"))
        needsComma = true
    }

    /// Writes a member's name; its value must follow.
    package mutating func name(_ name: String) {
        separate()
        appendString(name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    /// Writes one member.
    package mutating func member(_ name: String, _ value: String) {
        self.name(name)
        string(value)
    }

    /// Writes one member.
    package mutating func member(_ name: String, _ value: Int) {
        self.name(name)
        integer(value)
    }

    /// Writes one member.
    package mutating func member(_ name: String, _ value: JSONValue) {
        self.name(name)
        write(value)
    }

    /// Writes one member that is an object.
    package mutating func member(_ name: String, _ body: (inout JSONWriter) -> Void) {
        self.name(name)
        object(body)
    }

    /// Writes one member that is an array.
    package mutating func list(_ name: String, _ body: (inout JSONWriter) -> Void) {
        self.name(name)
        array(body)
    }

    package mutating func string(_ value: String) {
        separate()
        appendString(value)
        needsComma = true
    }

    package mutating func integer(_ value: Int) {
        separate()
        bytes.append(contentsOf: String(value).utf8)
        needsComma = true
    }

    /// The shortest decimal that reads back as the same `Float`. What is not finite becomes the nearest finite number,
    /// because JSON has no other.
    package mutating func float(_ value: Float) {
        separate()
        let finite = value.isNaN ? 0 : min(max(value, -Float.greatestFiniteMagnitude), .greatestFiniteMagnitude)
        bytes.append(contentsOf: finite.description.utf8)
        needsComma = true
    }

    /// As `float`, for doubles.
    package mutating func double(_ value: Double) {
        separate()
        let finite = value.isNaN ? 0 : min(max(value, -Double.greatestFiniteMagnitude), .greatestFiniteMagnitude)
        bytes.append(contentsOf: finite.description.utf8)
        needsComma = true
    }

    package mutating func bool(_ value: Bool) {
        separate()
        bytes.append(contentsOf: (value ? "true" : "false").utf8)
        needsComma = true
    }

    package mutating func null() {
        separate()
        bytes.append(contentsOf: "null".utf8)
        needsComma = true
    }

    /// Writes a value of any kind.
    package mutating func write(_ value: JSONValue) {
        switch value {
        case .null: null()
        case .bool(let value): bool(value)
        case .integer(let value): integer(value)
        case .number(let value): double(value)
        case .string(let value): string(value)
        case .array(let elements):
            array { writer in
                for element in elements { writer.write(element) }
            }
        case .object(let object):
            self.object { writer in
                for member in object.members { writer.member(member.name, member.value) }
            }
        }
    }

    private mutating func separate() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
    }

    private mutating func appendString(_ value: String) {
        bytes.append(UInt8(ascii: "\""))
        var value = value
        value.withUTF8 { utf8 in
            var start = 0
            for index in utf8.indices {
                let byte = utf8[index]
                guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte == 0x7F else {
                    // Line breaks beyond ASCII: allowed raw in JSON, but clients that cut streams into lines as Unicode
                    // has them would cut a document in two.
                    if byte == 0xE2 || byte == 0xC2, let (digits, count) = Self.lineBreak(utf8[index...]) {
                        bytes.append(contentsOf: utf8[start..<index])
                        bytes.append(contentsOf: digits.utf8)
                        start = index + count
                    }
                    continue
                }
                bytes.append(contentsOf: utf8[start..<index])
                appendEscape(byte)
                start = index + 1
            }
            bytes.append(contentsOf: utf8[start...])
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// The escape of the line break that `text` begins with, and its length in bytes: U+0085, U+2028 or U+2029.
    private static func lineBreak(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> (digits: String, count: Int)? {
        switch (text.first, text.dropFirst().first, text.dropFirst(2).first) {
        case (0xC2, 0x85, _): ("\\u0085", 2)
        case (0xE2, 0x80, 0xA8): ("\\u2028", 3)
        case (0xE2, 0x80, 0xA9): ("\\u2029", 3)
        default: nil
        }
    }

    private mutating func appendEscape(_ byte: UInt8) {
        bytes.append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(byte)
        case 0x0A: bytes.append(UInt8(ascii: "n"))
        case 0x0D: bytes.append(UInt8(ascii: "r"))
        case 0x09: bytes.append(UInt8(ascii: "t"))
        default:
            let digits = Array("0123456789abcdef".utf8)
            bytes.append(contentsOf: "u00".utf8)
            bytes.append(digits[Int(byte >> 4)])
            bytes.append(digits[Int(byte & 15)])
        }
    }
}
