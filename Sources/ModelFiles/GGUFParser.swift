/// Reads the header of a GGUF file. Nothing is allocated on the word of a count before the file is known to be long
/// enough to hold that many.
struct GGUFParser {
    /// A tensor as the header declares it.
    struct TensorInfo {
        let name: String
        /// Outermost first.
        let shape: [Int]
        let type: GGUFElementType
        /// From the start of the file.
        let fileOffset: Int
        let byteCount: Int
    }

    /// Bounds far above any real file.
    enum Limit {
        static let keys: UInt64 = 1 << 16
        static let tensors: UInt64 = 1 << 20
        static let dimensions: UInt32 = 4
        static let keyBytes: UInt64 = (1 << 16) - 1
        static let tensorNameBytes: UInt64 = 1024
        static let stringBytes: UInt64 = 1 << 26
        static let arrayDepth = 8
        static let alignment = 1 << 24
    }

    private var cursor: ByteCursor
    private(set) var version: UInt32 = 0
    private(set) var metadata: [String: GGUFValue] = [:]
    private(set) var tensors: [TensorInfo] = []

    init(_ file: MappedFile) throws(ModelFileError) {
        cursor = ByteCursor(file)
        let (tensorCount, keyCount) = try readCounts()
        try readMetadata(count: keyCount)
        try readTensorInfos(count: tensorCount, alignment: try alignment())
        try checkOverlaps()
    }

    // MARK: - Header

    private mutating func readCounts() throws(ModelFileError) -> (tensors: Int, keys: Int) {
        let magic = try cursor.integer(UInt32.self, "the magic \"GGUF\"")
        guard magic == 0x4655_4747 else {
            let hex = String(magic.byteSwapped, radix: 16)
            throw cursor.error(.badMagic, at: 0, "expected the magic \"GGUF\" (47475546), got \(hex)")
        }
        version = try cursor.integer(UInt32.self, "the version")
        guard version == 2 || version == 3 else {
            let hint = version.byteSwapped <= 3 && version != 0 ? " (a big-endian file)" : ""
            throw cursor.error(.unsupportedVersion, at: 4, "GGUF version \(version)\(hint), expected 2 or 3")
        }
        // A tensor takes at least name length, dimension count, type and offset; a key its length, a type and a byte.
        let tensorCount = try count("tensors", limit: Limit.tensors, minimumBytes: 24)
        let keyCount = try count("metadata keys", limit: Limit.keys, minimumBytes: 13)
        return (tensorCount, keyCount)
    }

    /// A 64-bit count of things that take at least `minimumBytes` each in the rest of the file.
    private mutating func count(
        _ what: StaticString, limit: UInt64 = .max, minimumBytes: Int
    ) throws(ModelFileError) -> Int {
        let start = cursor.offset
        let count = try cursor.integer(UInt64.self, what)
        let fitting = UInt64(cursor.remaining / minimumBytes)
        guard count <= min(limit, fitting) else {
            throw cursor.error(
                .tooLarge, at: start,
                "\(count) \(what), expected at most \(min(limit, fitting)) in what is left of the file")
        }
        return Int(count)
    }

    // MARK: - Metadata

    private mutating func readMetadata(count: Int) throws(ModelFileError) {
        metadata.reserveCapacity(count)
        for _ in 0..<count {
            let start = cursor.offset
            let key = try cursor.string(maxBytes: Limit.keyBytes, "a metadata key")
            let type = try valueType()
            let value = try self.value(type, depth: 0)
            guard metadata.updateValue(value, forKey: key) == nil else {
                throw cursor.error(.duplicateName, at: start, "metadata key \(key.prefix(256)) occurs twice")
            }
        }
    }

    private mutating func valueType() throws(ModelFileError) -> GGUFValueType {
        let start = cursor.offset
        let id = try cursor.integer(UInt32.self, "a value type")
        guard let type = GGUFValueType(rawValue: id) else {
            throw cursor.error(.unknownType, at: start, "metadata value type \(id), expected 0 ... 12")
        }
        return type
    }

    private mutating func value(_ type: GGUFValueType, depth: Int) throws(ModelFileError) -> GGUFValue {
        switch type {
        case .uint8: return .uint8(try cursor.integer(UInt8.self, "a uint8 value"))
        case .int8: return .int8(try cursor.integer(Int8.self, "an int8 value"))
        case .uint16: return .uint16(try cursor.integer(UInt16.self, "a uint16 value"))
        case .int16: return .int16(try cursor.integer(Int16.self, "an int16 value"))
        case .uint32: return .uint32(try cursor.integer(UInt32.self, "a uint32 value"))
        case .int32: return .int32(try cursor.integer(Int32.self, "an int32 value"))
        case .float32: return .float32(Float(bitPattern: try cursor.integer(UInt32.self, "a float32 value")))
        case .uint64: return .uint64(try cursor.integer(UInt64.self, "a uint64 value"))
        case .int64: return .int64(try cursor.integer(Int64.self, "an int64 value"))
        case .float64: return .float64(Double(bitPattern: try cursor.integer(UInt64.self, "a float64 value")))
        case .string: return .string(try cursor.string(maxBytes: Limit.stringBytes, "a string value"))
        case .array: return .array(try array(depth: depth))
        case .bool:
            let start = cursor.offset
            let byte = try cursor.integer(UInt8.self, "a bool value")
            guard byte <= 1 else {
                throw cursor.error(.malformed, at: start, "a bool value of \(byte), expected 0 or 1")
            }
            return .bool(byte == 1)
        }
    }

    private mutating func array(depth: Int) throws(ModelFileError) -> GGUFArray {
        let start = cursor.offset
        guard depth < Limit.arrayDepth else {
            throw cursor.error(.tooLarge, at: start, "arrays nested deeper than \(Limit.arrayDepth)")
        }
        let type = try valueType()
        let count = try count("array elements", minimumBytes: type.minimumByteCount)
        switch type {
        case .string:
            var strings = GGUFStringArray()
            strings.reserveCapacity(count)
            for _ in 0..<count {
                strings.append(try cursor.stringBytes(maxBytes: Limit.stringBytes, "a string in an array"))
            }
            return GGUFArray(strings)
        case .array:
            var arrays: [GGUFArray] = []
            arrays.reserveCapacity(count)
            for _ in 0..<count { arrays.append(try array(depth: depth + 1)) }
            return GGUFArray(arrays)
        default:
            let bytes = try cursor.take(UInt64(count * type.minimumByteCount), "array elements")
            if type == .bool, let bad = bytes.firstIndex(where: { $0 > 1 }) {
                throw cursor.error(.malformed, at: start + 12 + bad, "a bool value of \(bytes[bad]), expected 0 or 1")
            }
            guard let array = GGUFArray(scalars: Array(bytes), elementType: type) else {
                throw cursor.error(.malformed, at: start, "an array of \(type) in \(bytes.count) bytes")
            }
            return array
        }
    }

    // MARK: - Tensors

    private func alignment() throws(ModelFileError) -> Int {
        guard let value = metadata["general.alignment"] else { return 32 }
        guard let alignment = value.integer, alignment >= 8, alignment <= Limit.alignment,
            alignment & (alignment - 1) == 0
        else {
            let got = value.integer.map(String.init) ?? "\(value.type)"
            throw ModelFileError(
                code: .malformed,
                message:
                    "\(cursor.path): general.alignment is \(got), expected a power of two in 8 ... \(Limit.alignment)")
        }
        return alignment
    }

    private mutating func readTensorInfos(count: Int, alignment: Int) throws(ModelFileError) {
        var names = Set<String>(minimumCapacity: count)
        var declared: [(name: String, shape: [Int], type: GGUFElementType, relative: UInt64, headerOffset: Int)] = []
        declared.reserveCapacity(count)
        for _ in 0..<count {
            let start = cursor.offset
            let name = try cursor.string(maxBytes: Limit.tensorNameBytes, "a tensor name")
            guard names.insert(name).inserted else {
                throw cursor.error(.duplicateName, at: start, "tensor \(name) occurs twice")
            }
            let shape = try shape(of: name)
            let typeOffset = cursor.offset
            let id = try cursor.integer(UInt32.self, "a tensor's element type")
            guard let type = GGUFElementType(id: id) else {
                throw cursor.error(.unknownType, at: typeOffset, "tensor \(name) has unknown element type id \(id)")
            }
            let relative = try cursor.integer(UInt64.self, "a tensor's offset")
            declared.append((name, shape, type, relative, start))
        }
        guard count > 0 else { return }

        // The data section starts at the first aligned byte after the header.
        let dataStart = (cursor.offset + alignment - 1) / alignment * alignment
        tensors.reserveCapacity(count)
        for (name, shape, type, relative, headerOffset) in declared {
            func failure(_ code: ModelFileError.Code, _ message: String) -> ModelFileError {
                cursor.error(code, at: headerOffset, "tensor \(name) \(message)")
            }
            guard let byteCount = type.byteCount(shape: shape) else {
                throw failure(
                    .malformed,
                    "of shape \(shape) is not whole rows of \(type.name) blocks of \(type.blockSize) elements")
            }
            guard relative % UInt64(alignment) == 0 else {
                throw failure(.badOffset, "starts at data offset \(relative), expected a multiple of \(alignment)")
            }
            let available = UInt64(max(cursor.bytes.count - dataStart, 0))
            guard relative <= available, UInt64(byteCount) <= available - relative else {
                throw failure(
                    .badOffset,
                    "needs \(byteCount) bytes from data offset \(relative), expected them to end within the "
                        + "\(available) bytes of data in the file")
            }
            // An empty tensor may be declared where the file has already ended.
            let fileOffset = min(dataStart + Int(relative), cursor.bytes.count)
            tensors.append(
                TensorInfo(name: name, shape: shape, type: type, fileOffset: fileOffset, byteCount: byteCount))
        }
    }

    /// The dimensions, turned round: the file has the innermost first.
    private mutating func shape(of name: String) throws(ModelFileError) -> [Int] {
        let start = cursor.offset
        let dimensions = try cursor.integer(UInt32.self, "a tensor's dimension count")
        guard dimensions <= Limit.dimensions else {
            throw cursor.error(
                .tooLarge, at: start,
                "tensor \(name) has \(dimensions) dimensions, expected at most \(Limit.dimensions)")
        }
        var shape: [Int] = []
        for _ in 0..<dimensions {
            let offset = cursor.offset
            let size = try cursor.integer(UInt64.self, "a tensor's dimension")
            guard let dimension = Int(exactly: size) else {
                throw cursor.error(.tooLarge, at: offset, "tensor \(name) has a dimension of \(size)")
            }
            shape.append(dimension)
        }
        return shape.reversed()
    }

    private func checkOverlaps() throws(ModelFileError) {
        let sorted = tensors.sorted { ($0.fileOffset, $0.byteCount) < ($1.fileOffset, $1.byteCount) }
        for (first, second) in zip(sorted, sorted.dropFirst())
        where first.fileOffset + first.byteCount > second.fileOffset {
            throw cursor.error(
                .badOffset, at: second.fileOffset,
                "tensor \(second.name) starts inside tensor \(first.name), which ends at byte "
                    + "\(first.fileOffset + first.byteCount)")
        }
    }
}
