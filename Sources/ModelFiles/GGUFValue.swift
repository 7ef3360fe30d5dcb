/// The type ids of GGUF metadata values.
package enum GGUFValueType: UInt32, Sendable, CaseIterable {
    case uint8 = 0
    case int8 = 1
    case uint16 = 2
    case int16 = 3
    case uint32 = 4
    case int32 = 5
    case float32 = 6
    case bool = 7
    case string = 8
    case array = 9
    case uint64 = 10
    case int64 = 11
    case float64 = 12

    /// Bytes of one value, nil for strings and arrays, whose size varies.
    package var byteCount: Int? {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .string, .array: nil
        }
    }

    /// The fewest bytes that one value takes in a file; bounds a count before anything is allocated.
    var minimumByteCount: Int {
        switch self {
        case .string: 8  // the length
        case .array: 12  // element type and count
        default: byteCount ?? 1
        }
    }
}

/// One GGUF metadata value.
package enum GGUFValue: Sendable {
    case uint8(UInt8)
    case int8(Int8)
    case uint16(UInt16)
    case int16(Int16)
    case uint32(UInt32)
    case int32(Int32)
    case float32(Float)
    case bool(Bool)
    case string(String)
    case array(GGUFArray)
    case uint64(UInt64)
    case int64(Int64)
    case float64(Double)

    /// The value's type.
    package var type: GGUFValueType {
        switch self {
        case .uint8: .uint8
        case .int8: .int8
        case .uint16: .uint16
        case .int16: .int16
        case .uint32: .uint32
        case .int32: .int32
        case .float32: .float32
        case .bool: .bool
        case .string: .string
        case .array: .array
        case .uint64: .uint64
        case .int64: .int64
        case .float64: .float64
        }
    }

    /// The value as an integer, nil when it is not an integer or does not fit `Int`.
    package var integer: Int? {
        switch self {
        case .uint8(let value): Int(value)
        case .int8(let value): Int(value)
        case .uint16(let value): Int(value)
        case .int16(let value): Int(value)
        case .uint32(let value): Int(value)
        case .int32(let value): Int(value)
        case .uint64(let value): Int(exactly: value)
        case .int64(let value): Int(value)
        case .float32, .float64, .bool, .string, .array: nil
        }
    }

    /// The value as a floating-point number, nil when it is neither that nor an integer.
    package var double: Double? {
        switch self {
        case .float32(let value): Double(value)
        case .float64(let value): value
        default: integer.map(Double.init)
        }
    }
}

/// A homogeneous GGUF array. Scalars and strings are kept in one flat buffer each, not as one value per element.
package struct GGUFArray: Sendable {
    /// How the elements are kept.
    package enum Storage: Sendable {
        /// Little-endian scalars, back to back.
        case scalars([UInt8])
        case strings(GGUFStringArray)
        case arrays([GGUFArray])
    }

    /// The type of every element.
    package let elementType: GGUFValueType
    /// The number of elements.
    package let count: Int
    package let storage: Storage

    /// An array of little-endian scalars; nil unless `elementType` is a scalar type and the bytes are whole elements.
    package init?(scalars bytes: [UInt8], elementType: GGUFValueType) {
        guard let size = elementType.byteCount, bytes.count % size == 0 else { return nil }
        self.elementType = elementType
        count = bytes.count / size
        storage = .scalars(bytes)
    }

    /// An array of 32-bit integers, for metadata made in memory.
    package init(_ values: [Int32]) {
        elementType = .int32
        count = values.count
        storage = .scalars(values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } })
    }

    /// An array of strings.
    package init(_ strings: GGUFStringArray) {
        elementType = .string
        count = strings.count
        storage = .strings(strings)
    }

    /// An array of arrays.
    package init(_ arrays: [GGUFArray]) {
        elementType = .array
        count = arrays.count
        storage = .arrays(arrays)
    }

    /// Element `index`, which must be in `0 ..< count`.
    package subscript(index: Int) -> GGUFValue {
        precondition(index >= 0 && index < count, "index \(index) outside 0 ..< \(count)")
        switch storage {
        case .strings(let strings): return .string(strings[index])
        case .arrays(let arrays): return .array(arrays[index])
        case .scalars(let bytes):
            return bytes.withUnsafeBytes { GGUFArray.scalar(elementType, in: $0, at: index) }
        }
    }

    /// All elements as integers, nil when they are not integers or one does not fit `Int`.
    package var integers: [Int]? { scalarValues { $0.integer } }

    /// All elements as floating-point numbers, nil when they are not numbers.
    package var doubles: [Double]? { scalarValues { $0.double } }

    private func scalarValues<T>(_ convert: (GGUFValue) -> T?) -> [T]? {
        guard case .scalars(let bytes) = storage else { return nil }
        return bytes.withUnsafeBytes { bytes in
            var values: [T] = []
            values.reserveCapacity(count)
            for index in 0..<count {
                guard let value = convert(GGUFArray.scalar(elementType, in: bytes, at: index)) else { return nil }
                values.append(value)
            }
            return values
        }
    }

    private static func scalar(_ type: GGUFValueType, in bytes: UnsafeRawBufferPointer, at index: Int) -> GGUFValue {
        func load<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) -> T {
            T(littleEndian: bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<T>.size, as: T.self))
        }
        switch type {
        case .uint8: return .uint8(load(UInt8.self))
        case .int8: return .int8(load(Int8.self))
        case .uint16: return .uint16(load(UInt16.self))
        case .int16: return .int16(load(Int16.self))
        case .uint32: return .uint32(load(UInt32.self))
        case .int32: return .int32(load(Int32.self))
        case .float32: return .float32(Float(bitPattern: load(UInt32.self)))
        case .bool: return .bool(load(UInt8.self) != 0)
        case .uint64: return .uint64(load(UInt64.self))
        case .int64: return .int64(load(Int64.self))
        case .float64: return .float64(Double(bitPattern: load(UInt64.self)))
        case .string, .array: preconditionFailure("\(type) is not a scalar")
        }
    }
}
