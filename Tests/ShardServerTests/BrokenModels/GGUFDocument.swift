import Foundation

/// A GGUF file taken apart so far that single fields can be changed, whatever the reader would say to the result.
///
/// Reads whole files only; `bytes` writes anything.
struct GGUFDocument {
    struct Key {
        var name: String
        var type: UInt32
        /// As in the file.
        var value: [UInt8]
    }

    struct Tensor {
        var name: String
        /// As in the file: innermost first.
        var dimensions: [UInt64]
        var type: UInt32
        var offset: UInt64
    }

    /// GGUF's value types by number.
    enum ValueType {
        static let uint32: UInt32 = 4
        static let float32: UInt32 = 6
        static let bool: UInt32 = 7
        static let string: UInt32 = 8
        static let array: UInt32 = 9
        static let int64: UInt32 = 11
        static let float64: UInt32 = 12
        /// Bytes of the scalars, 0 for strings and arrays.
        static let sizes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]
    }

    var keys: [Key] = []
    var tensors: [Tensor] = []
    var data: [UInt8]

    init(path: String) throws {
        var reader = Reader(bytes: Array(try Data(contentsOf: URL(fileURLWithPath: path))))
        reader.at = 8
        let tensorCount = Int(reader.integer(UInt64.self))
        let keyCount = Int(reader.integer(UInt64.self))
        for _ in 0..<keyCount {
            let name = reader.string()
            let type = reader.integer(UInt32.self)
            let start = reader.at
            reader.skip(type)
            keys.append(Key(name: name, type: type, value: Array(reader.bytes[start..<reader.at])))
        }
        for _ in 0..<tensorCount {
            let name = reader.string()
            let count = Int(reader.integer(UInt32.self))
            tensors.append(
                Tensor(
                    name: name, dimensions: (0..<count).map { _ in reader.integer(UInt64.self) },
                    type: reader.integer(UInt32.self), offset: reader.integer(UInt64.self)))
        }
        data = Array(reader.bytes[((reader.at + 31) / 32 * 32)...])
    }

    var bytes: [UInt8] {
        var bytes = Array("GGUF".utf8) + Self.bytes(UInt32(3)) + Self.bytes(UInt64(tensors.count))
        bytes += Self.bytes(UInt64(keys.count))
        for key in keys { bytes += Self.string(key.name) + Self.bytes(key.type) + key.value }
        for tensor in tensors {
            bytes += Self.string(tensor.name) + Self.bytes(UInt32(tensor.dimensions.count))
            bytes += tensor.dimensions.flatMap { Self.bytes($0) } + Self.bytes(tensor.type) + Self.bytes(tensor.offset)
        }
        return bytes + [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32) + data
    }

    static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    static func string(_ text: String) -> [UInt8] { bytes(UInt64(text.utf8.count)) + Array(text.utf8) }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0

        mutating func integer<T: FixedWidthInteger>(_: T.Type) -> T {
            defer { at += MemoryLayout<T>.size }
            return bytes[at..<at + MemoryLayout<T>.size].reversed().reduce(0) { $0 << 8 | T($1) }
        }

        mutating func string() -> String {
            let count = Int(integer(UInt64.self))
            defer { at += count }
            return String(decoding: bytes[at..<at + count], as: UTF8.self)
        }

        mutating func skip(_ type: UInt32) {
            switch type {
            case ValueType.string: at += Int(integer(UInt64.self))
            case ValueType.array:
                let element = integer(UInt32.self)
                for _ in 0..<integer(UInt64.self) { skip(element) }
            default: at += ValueType.sizes[Int(type)]
            }
        }
    }
}
