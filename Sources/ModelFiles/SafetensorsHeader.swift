/// Parses the JSON header of a safetensors file: an object of objects, nothing else.
///
/// A parser of this one shape, over bytes, with positions: errors can name the byte, duplicate keys are seen, and no
/// depth of nesting has to be bounded because there is none.
struct SafetensorsHeader {
    /// A tensor as the header declares it.
    struct Entry {
        let name: String
        /// Outermost first.
        let shape: [Int]
        let type: String
        /// From the start of the data section, end exclusive.
        let range: Range<Int>
        /// Where the entry stands in the file.
        let fileOffset: Int
    }

    /// Bounds far above any real file.
    enum Limit {
        static let tensors = 1 << 20
        static let dimensions = 16
        static let tensorNameBytes = 1024
        static let metadataKeys = 1 << 16
    }

    private(set) var entries: [Entry] = []
    private(set) var metadata: [String: String] = [:]

    private let bytes: UnsafeRawBufferPointer
    private let path: String
    private let base: Int
    private var index = 0

    /// - Parameters:
    ///   - bytes: the header's JSON.
    ///   - base: where it starts in the file; added to the offsets in errors.
    init(_ bytes: UnsafeRawBufferPointer, path: String, base: Int) throws(ModelFileError) {
        self.bytes = bytes
        self.path = path
        self.base = base
        guard UTF8Validation.isValid(bytes) else { throw error(.notUTF8, at: 0, "the header is not UTF-8") }
        var names = Set<String>()
        try object { (parser, name, start) throws(ModelFileError) in
            guard names.insert(name).inserted else {
                throw parser.error(.duplicateName, at: start, "\(name.prefix(256)) occurs twice in the header")
            }
            if name == "__metadata__" {
                try parser.readMetadata()
            } else {
                guard parser.entries.count < Limit.tensors else {
                    throw parser.error(.tooLarge, at: start, "more than \(Limit.tensors) tensors")
                }
                try parser.readEntry(name: name, start: start)
            }
        }
        skipSpace()
        // Writers pad with spaces; some pad with zero bytes.
        while index < bytes.count, bytes[index] == 0 { index += 1 }
        guard index == bytes.count else { throw unexpected("the end of the header") }
    }

    // MARK: - The header's parts

    private mutating func readMetadata() throws(ModelFileError) {
        try object { (parser, key, start) throws(ModelFileError) in
            let value = try parser.string()
            guard parser.metadata.count < Limit.metadataKeys else {
                throw parser.error(.tooLarge, at: start, "more than \(Limit.metadataKeys) metadata keys")
            }
            guard parser.metadata.updateValue(value, forKey: key) == nil else {
                throw parser.error(.duplicateName, at: start, "metadata key \(key.prefix(256)) occurs twice")
            }
        }
    }

    private mutating func readEntry(name: String, start: Int) throws(ModelFileError) {
        guard name.utf8.count <= Limit.tensorNameBytes else {
            throw error(
                .tooLarge, at: start,
                "a tensor name of \(name.utf8.count) bytes, expected at most \(Limit.tensorNameBytes)")
        }
        var type: String?
        var shape: [Int]?
        var offsets: [Int]?
        try object { (parser, key, keyStart) throws(ModelFileError) in
            let isNew: Bool
            switch key {
            case "dtype":
                isNew = type == nil
                type = try parser.string()
            case "shape":
                isNew = shape == nil
                shape = try parser.integers(atMost: Limit.dimensions, "dimensions")
            case "data_offsets":
                isNew = offsets == nil
                offsets = try parser.integers(atMost: 2, "data offsets")
            default:
                throw parser.error(
                    .malformed, at: keyStart,
                    "tensor \(name.prefix(256)) has key \(key.prefix(64)), expected dtype, shape and data_offsets")
            }
            guard isNew else {
                throw parser.error(.duplicateName, at: keyStart, "\(key) occurs twice in tensor \(name.prefix(256))")
            }
        }
        guard let type, let shape, let offsets, offsets.count == 2 else {
            throw error(.malformed, at: start, "tensor \(name.prefix(256)) lacks dtype, shape or two data_offsets")
        }
        guard offsets[0] <= offsets[1] else {
            throw error(
                .badOffset, at: start,
                "tensor \(name.prefix(256)) ends at \(offsets[1]), before its start at \(offsets[0])")
        }
        entries.append(
            Entry(name: name, shape: shape, type: type, range: offsets[0]..<offsets[1], fileOffset: base + start))
    }

    // MARK: - JSON

    /// An object; `member` is called after each key and its colon and must consume the value.
    private mutating func object(
        _ member: (inout SafetensorsHeader, _ key: String, _ start: Int) throws(ModelFileError) -> Void
    ) throws(ModelFileError) {
        try expect(UInt8(ascii: "{"), "\"{\"")
        if consume(UInt8(ascii: "}")) { return }
        repeat {
            skipSpace()
            let start = index
            let key = try string()
            try expect(UInt8(ascii: ":"), "\":\"")
            try member(&self, key, start)
        } while consume(UInt8(ascii: ","))
        try expect(UInt8(ascii: "}"), "\",\" or \"}\"")
    }

    private mutating func integers(atMost limit: Int, _ what: StaticString) throws(ModelFileError) -> [Int] {
        try expect(UInt8(ascii: "["), "\"[\"")
        var values: [Int] = []
        if consume(UInt8(ascii: "]")) { return values }
        repeat {
            guard values.count < limit else { throw error(.tooLarge, at: index, "more than \(limit) \(what)") }
            values.append(try integer())
        } while consume(UInt8(ascii: ","))
        try expect(UInt8(ascii: "]"), "\",\" or \"]\"")
        return values
    }

    /// A whole number that is not negative and fits `Int`.
    private mutating func integer() throws(ModelFileError) -> Int {
        skipSpace()
        let start = index
        var value = 0
        while index < bytes.count, case let digit = bytes[index] &- UInt8(ascii: "0"), digit < 10 {
            let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(Int(digit))
            guard !overflow, !carry else { throw error(.tooLarge, at: start, "a number beyond 64 bits") }
            value = sum
            index += 1
        }
        guard index > start else { throw unexpected("a whole number") }
        guard index == start + 1 || bytes[start] != UInt8(ascii: "0") else {
            throw error(.malformed, at: start, "a number with leading zeros")
        }
        return value
    }

    private mutating func string() throws(ModelFileError) -> String {
        try expect(UInt8(ascii: "\""), "a string")
        let start = index
        while index < bytes.count, bytes[index] != UInt8(ascii: "\""), bytes[index] != UInt8(ascii: "\\") {
            guard bytes[index] >= 0x20 else { throw unexpected("no control character in a string") }
            index += 1
        }
        // Almost no name holds an escape; those that do go on below.
        var text = Array(bytes[start..<index])
        while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
            let byte = bytes[index]
            guard byte >= 0x20 else { throw unexpected("no control character in a string") }
            index += 1
            if byte == UInt8(ascii: "\\") { text += try escape() } else { text.append(byte) }
        }
        try expect(UInt8(ascii: "\""), "the end of a string", skippingSpace: false)
        return String(decoding: text, as: UTF8.self)
    }

    /// What follows a backslash, as UTF-8.
    private mutating func escape() throws(ModelFileError) -> [UInt8] {
        guard index < bytes.count else { throw unexpected("an escape") }
        let byte = bytes[index]
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"):
            let start = index
            var code = try hexDigits()
            if code & 0xFC00 == 0xD800 {
                guard index + 1 < bytes.count, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u")
                else { throw unexpected("the second half of a surrogate pair") }
                index += 2
                let low = try hexDigits()
                guard low & 0xFC00 == 0xDC00 else {
                    throw error(.malformed, at: start, "half a surrogate pair")
                }
                code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error(.malformed, at: start, "half a surrogate pair") }
            return Array(UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        default:
            index -= 1
            throw unexpected("an escape")
        }
    }

    private mutating func hexDigits() throws(ModelFileError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard index < bytes.count, let digit = Character(Unicode.Scalar(bytes[index])).hexDigitValue else {
                throw unexpected("four hexadecimal digits")
            }
            code = code << 4 | UInt32(digit)
            index += 1
        }
        return code
    }

    private mutating func skipSpace() {
        while index < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[index]) { index += 1 }
    }

    private mutating func consume(_ byte: UInt8) -> Bool {
        skipSpace()
        guard index < bytes.count, bytes[index] == byte else { return false }
        index += 1
        return true
    }

    private mutating func expect(
        _ byte: UInt8, _ what: StaticString, skippingSpace: Bool = true
    ) throws(ModelFileError) {
        if skippingSpace { skipSpace() }
        guard index < bytes.count, bytes[index] == byte else { throw unexpected(what) }
        index += 1
    }

    private func unexpected(_ expected: StaticString) -> ModelFileError {
        let got = index < bytes.count ? "byte 0x\(String(bytes[index], radix: 16))" : "the end of the header"
        return error(.malformed, at: index, "expected \(expected), got \(got)")
    }

    private func error(_ code: ModelFileError.Code, at index: Int, _ message: String) -> ModelFileError {
        ModelFileError(code, path: path, offset: base + index, message)
    }
}
