/// Walks the fields of one encoded protobuf message. Every step is bounds-checked; nothing recurses.
struct ProtobufReader {
    /// The value of one field.
    enum Value {
        /// Varint or fixed32/64.
        case number(UInt64)
        /// Offsets into the bytes this reader was made of.
        case bytes(Range<Int>)
    }

    private let bytes: UnsafeRawBufferPointer
    private var offset: Int
    private let end: Int

    /// Reads `range` of `bytes`, which must stay valid while the reader is used.
    init(_ bytes: UnsafeRawBufferPointer, range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "range outside of the buffer")
        self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
    }

    /// The next field, nil at the end.
    ///
    /// - Throws: PROTOCOL_ERROR when the bytes are no valid protobuf encoding. Groups are refused.
    mutating func next() throws(ConnectionFault) -> (field: Int, value: Value)? {
        guard offset < end else { return nil }
        let key = try varint()
        guard let field = Int(exactly: key >> 3), field > 0, field < 1 << 29 else {
            throw Self.malformed("field number \(key >> 3) is not in 1..<2^29")
        }
        switch Int(key & 7) {
        case FrameField.WireType.varint: return (field, .number(try varint()))
        case FrameField.WireType.fixed64: return (field, .number(try fixed(byteCount: 8)))
        case FrameField.WireType.fixed32: return (field, .number(try fixed(byteCount: 4)))
        case FrameField.WireType.lengthDelimited:
            let length = try varint()
            guard length <= UInt64(end - offset) else {
                throw Self.malformed("field \(field) claims \(length) bytes, \(end - offset) are left")
            }
            let start = offset
            offset += Int(length)
            return (field, .bytes(start..<offset))
        default: throw Self.malformed("field \(field) has wire type \(key & 7)")
        }
    }

    /// The string at `range`.
    ///
    /// - Throws: PROTOCOL_ERROR when it is no UTF-8.
    func string(_ range: Range<Int>) throws(ConnectionFault) -> String {
        guard let string = String(validating: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self) else {
            throw Self.malformed("a string of \(range.count) bytes is not UTF-8")
        }
        return string
    }

    /// A reader of the message inside of this one at `range`.
    func message(_ range: Range<Int>) -> ProtobufReader {
        ProtobufReader(bytes, range: range)
    }

    @inline(__always)
    private mutating func varint() throws(ConnectionFault) -> UInt64 {
        guard offset < end else { throw Self.malformed("the frame ends inside of a field") }
        let first = bytes[offset]
        if first < 0x80 {
            offset += 1
            return UInt64(first)
        }
        return try longVarint()
    }

    private mutating func longVarint() throws(ConnectionFault) -> UInt64 {
        var result: UInt64 = 0
        var shift: UInt64 = 0
        while offset < end {
            let byte = bytes[offset]
            offset += 1
            // The tenth byte may only add the 64th bit.
            guard shift < 63 || byte <= 1 else { break }
            result |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return result }
            shift += 7
            if shift > 63 { break }
        }
        throw Self.malformed("a varint is truncated or longer than 64 bits")
    }

    private mutating func fixed(byteCount: Int) throws(ConnectionFault) -> UInt64 {
        guard end - offset >= byteCount else { throw Self.malformed("the frame ends inside of a fixed number") }
        var result: UInt64 = 0
        for index in 0..<byteCount {
            result |= UInt64(bytes[offset + index]) << UInt64(8 * index)
        }
        offset += byteCount
        return result
    }

    private static func malformed(_ message: String) -> ConnectionFault {
        ConnectionFault(.protocolError, message)
    }
}
