/// Writes GGUF files for tests, right or wrong.
struct GGUFBuilder {
    var magic: [UInt8] = Array("GGUF".utf8)
    var version: UInt32 = 3
    /// Overrides what the header says about the number of things.
    var tensorCount: UInt64?
    var keyCount: UInt64?
    var keys: [[UInt8]] = []
    var tensors: [[UInt8]] = []
    var data: [UInt8] = []
    var alignment = 32

    static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    static func string(_ text: String) -> [UInt8] { bytes(UInt64(text.utf8.count)) + Array(text.utf8) }

    mutating func key(_ name: String, _ type: UInt32, _ value: [UInt8]) {
        keys.append(Self.string(name) + Self.bytes(type) + value)
    }

    mutating func tensor(_ name: String, _ dimensions: [UInt64], type: UInt32, offset: UInt64) {
        tensors.append(
            Self.string(name) + Self.bytes(UInt32(dimensions.count)) + dimensions.flatMap(Self.bytes)
                + Self.bytes(type) + Self.bytes(offset))
    }

    var file: [UInt8] {
        var bytes = magic + Self.bytes(version)
        bytes += Self.bytes(tensorCount ?? UInt64(tensors.count)) + Self.bytes(keyCount ?? UInt64(keys.count))
        bytes += keys.joined()
        bytes += tensors.joined()
        if !data.isEmpty {
            while bytes.count % alignment != 0 { bytes.append(0) }
            bytes += data
        }
        return bytes
    }

    /// A file with every value type and several tensors.
    static func sample() -> GGUFBuilder {
        var builder = GGUFBuilder()
        builder.key("a.u8", 0, [200])
        builder.key("a.i8", 1, [0xFF])
        builder.key("a.u16", 2, bytes(UInt16(60000)))
        builder.key("a.i16", 3, bytes(Int16(-2)))
        builder.key("a.u32", 4, bytes(UInt32(4_000_000_000)))
        builder.key("a.i32", 5, bytes(Int32(-3)))
        builder.key("a.f32", 6, bytes(Float(1.5).bitPattern))
        builder.key("a.bool", 7, [1])
        builder.key("a.string", 8, string("héllo"))
        builder.key("a.u64", 10, bytes(UInt64.max))
        builder.key("a.i64", 11, bytes(Int64.min))
        builder.key("a.f64", 12, bytes(Double(-0.25).bitPattern))
        builder.key("a.strings", 9, bytes(UInt32(8)) + bytes(UInt64(3)) + string("x") + string("") + string("日本"))
        builder.key("a.ints", 9, bytes(UInt32(5)) + bytes(UInt64(2)) + bytes(Int32(7)) + bytes(Int32(-7)))
        builder.key("a.bools", 9, bytes(UInt32(7)) + bytes(UInt64(3)) + [1, 0, 1])
        builder.key("a.floats", 9, bytes(UInt32(6)) + bytes(UInt64(1)) + bytes(Float(2).bitPattern))
        let inner = bytes(UInt32(0)) + bytes(UInt64(2)) + [1, 2]
        builder.key("a.nested", 9, bytes(UInt32(9)) + bytes(UInt64(2)) + inner + bytes(UInt32(8)) + bytes(UInt64(0)))
        builder.tensor("t.f32", [3, 2], type: 0, offset: 0)
        builder.tensor("t.q4", [32, 2], type: 2, offset: 32)
        builder.tensor("t.known", [256], type: 16, offset: 96)
        builder.tensor("t.scalar", [], type: 24, offset: 192)
        builder.data = (0..<24).map { UInt8($0) } + [UInt8](repeating: 7, count: 169)
        return builder
    }
}
