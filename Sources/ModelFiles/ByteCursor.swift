/// A reading position in a file's bytes that never leaves them.
///
/// Integers are little-endian and need no alignment. Every failure names the file, the offset and what was expected.
struct ByteCursor {
    let bytes: UnsafeRawBufferPointer
    let path: String
    private(set) var offset = 0

    init(_ file: MappedFile) {
        bytes = file.bytes
        path = file.path
    }

    var remaining: Int { bytes.count - offset }

    mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(
        _ type: T.Type, _ what: StaticString
    ) throws(ModelFileError) -> T {
        let size = MemoryLayout<T>.size
        guard size <= remaining else { throw truncated(UInt64(size), what) }
        let value = bytes.loadUnaligned(fromByteOffset: offset, as: T.self)
        offset += size
        return T(littleEndian: value)
    }

    /// The next `count` bytes, which stay in the mapping.
    mutating func take(_ count: UInt64, _ what: StaticString) throws(ModelFileError) -> UnsafeRawBufferPointer {
        guard count <= UInt64(remaining) else { throw truncated(count, what) }
        let start = offset
        offset += Int(count)
        return UnsafeRawBufferPointer(rebasing: bytes[start..<offset])
    }

    /// A string: a 64-bit byte count, then that many bytes of UTF-8, at most `maxBytes`.
    mutating func stringBytes(maxBytes: UInt64, _ what: StaticString) throws(ModelFileError) -> UnsafeRawBufferPointer {
        let start = offset
        let count = try integer(UInt64.self, what)
        guard count <= maxBytes else {
            throw error(.tooLarge, at: start, "\(what) of \(count) bytes, expected at most \(maxBytes)")
        }
        let text = try take(count, what)
        guard UTF8Validation.isValid(text) else {
            throw error(.notUTF8, at: start + 8, "\(what) of \(count) bytes is not UTF-8")
        }
        return text
    }

    mutating func string(maxBytes: UInt64, _ what: StaticString) throws(ModelFileError) -> String {
        String(decoding: try stringBytes(maxBytes: maxBytes, what), as: UTF8.self)
    }

    func error(_ code: ModelFileError.Code, at offset: Int, _ message: String) -> ModelFileError {
        ModelFileError(code, path: path, offset: offset, message)
    }

    private func truncated(_ needed: UInt64, _ what: StaticString) -> ModelFileError {
        error(
            .truncated, at: offset,
            "expected \(needed) bytes of \(what), got \(remaining) before the end of the file")
    }
}
