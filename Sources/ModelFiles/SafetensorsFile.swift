import Tensors

/// A memory-mapped safetensors file.
///
/// ```
/// offset   size
/// 0        8     header size N, uint64 little-endian
/// 8        N     JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
///                "__metadata__": {"key": "value"}}, padded with spaces
/// 8 + N          tensor data; offsets count from here, and the tensors cover it without gap or overlap
/// ```
/// Thread-safe: nothing changes after `init`.
package final class SafetensorsFile: TensorSource {
    /// The largest header that is read, in bytes; the format's own limit.
    package static let maxHeaderBytes: UInt64 = 100_000_000

    /// The mapping under the tensors; for page advice.
    package let file: MappedFile
    /// The tensors that can be read, by name.
    package let tensors: [String: TensorView]
    /// Names of all tensors in the order of their data, also of those whose element type cannot be read.
    package let tensorNames: [String]
    /// The header's `__metadata__`, empty when absent.
    package let metadata: [String: String]
    private let descriptions: [String: TensorDescription]

    /// The path the file was opened by.
    package var path: String { file.path }
    package var files: [MappedFile] { [file] }

    /// Opens and checks the file at `path`.
    ///
    /// - Throws: `ModelFileError` for a file that cannot be opened, ends early, or contradicts itself.
    package convenience init(path: String) throws {
        try self.init(file: MappedFile(path: path))
    }

    /// Reads the header of a file that is already mapped.
    package init(file: MappedFile) throws {
        var cursor = ByteCursor(file)
        let headerByteCount = try cursor.integer(UInt64.self, "the header size")
        guard headerByteCount >= 2, headerByteCount <= Self.maxHeaderBytes else {
            throw cursor.error(
                headerByteCount < 2 ? .malformed : .badMagic, at: 0,
                "a header of \(headerByteCount) bytes, expected 2 ... \(Self.maxHeaderBytes); is this a safetensors file?"
            )
        }
        let json = try cursor.take(headerByteCount, "the header")
        let header = try SafetensorsHeader(json, path: file.path, base: 8)
        let data = UnsafeRawBufferPointer(rebasing: file.bytes[cursor.offset...])

        let entries = header.entries.sorted {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }
        try Self.checkCoverage(entries, dataStart: cursor.offset, dataByteCount: data.count, path: file.path)

        var tensors: [String: TensorView] = [:]
        var descriptions: [String: TensorDescription] = [:]
        tensors.reserveCapacity(entries.count)
        for entry in entries {
            let type = try Self.checkType(of: entry, path: file.path)
            descriptions[entry.name] = TensorDescription(
                name: entry.name, shape: entry.shape, typeName: type.name, elementType: type.readable,
                byteCount: entry.range.count)
            guard let readable = type.readable else { continue }
            let bytes = UnsafeRawBufferPointer(rebasing: data[entry.range])
            do {
                tensors[entry.name] = try Self.view(of: bytes, entry: entry, type: readable, owner: file)
            } catch {
                throw ModelFileError(
                    code: .malformed,
                    message: "\(file.path): at byte \(entry.fileOffset): tensor \(entry.name): \(error)", cause: error)
            }
        }
        self.file = file
        self.tensors = tensors
        tensorNames = entries.map(\.name)
        metadata = header.metadata
        self.descriptions = descriptions
    }

    package func description(of name: String) -> TensorDescription? { descriptions[name] }

    /// The tensor called `name`, as stored: FP8 without its scales, which may lie in another file
    /// (``SafetensorsCheckpoint`` puts them together).
    ///
    /// - Throws: `ModelFileError` with `missingTensor`, or `unsupportedType` when its element type cannot be read.
    package func tensor(_ name: String) throws -> TensorView {
        if let tensor = tensors[name] { return tensor }
        if let description = descriptions[name] {
            throw ModelFileError(
                code: .unsupportedType,
                message: "\(path): tensor \(name) has element type \(description.typeName), which is not supported")
        }
        throw ModelFileError(code: .missingTensor, message: "\(path): tensor \(name) is missing")
    }

    // MARK: - Checks

    /// The tensors must cover the data exactly: no gap to hide bytes in, no overlap, nothing outside.
    private static func checkCoverage(
        _ sorted: [SafetensorsHeader.Entry], dataStart: Int, dataByteCount: Int, path: String
    ) throws(ModelFileError) {
        var end = 0
        for entry in sorted {
            guard entry.range.upperBound <= dataByteCount else {
                throw ModelFileError(
                    .badOffset, path: path, offset: entry.fileOffset,
                    "tensor \(entry.name) ends at data offset \(entry.range.upperBound), expected it within the "
                        + "\(dataByteCount) bytes of data in the file")
            }
            guard entry.range.lowerBound == end else {
                let what = entry.range.lowerBound < end ? "inside the tensor before it" : "after a gap"
                throw ModelFileError(
                    .badOffset, path: path, offset: entry.fileOffset,
                    "tensor \(entry.name) starts at data offset \(entry.range.lowerBound), \(what), expected \(end)")
            }
            end = entry.range.upperBound
        }
        guard end == dataByteCount else {
            throw ModelFileError(
                .badOffset, path: path, offset: dataStart + end,
                "\(dataByteCount - end) bytes after the last tensor, expected the end of the file")
        }
    }

    /// The element type, with shape and byte count held against each other.
    private static func checkType(
        of entry: SafetensorsHeader.Entry, path: String
    ) throws(ModelFileError) -> SafetensorsElementType {
        func failure(_ code: ModelFileError.Code, _ message: String) -> ModelFileError {
            ModelFileError(code, path: path, offset: entry.fileOffset, "tensor \(entry.name) \(message)")
        }
        guard let type = SafetensorsElementType(entry.type) else {
            throw failure(.unknownType, "has unknown dtype \(entry.type.prefix(32))")
        }
        var bits = type.bits
        for dimension in entry.shape {
            let (product, overflow) = bits.multipliedReportingOverflow(by: dimension)
            guard !overflow else { throw failure(.tooLarge, "has an impossible shape \(entry.shape)") }
            bits = product
        }
        guard bits % 8 == 0, bits / 8 == entry.range.count else {
            throw failure(
                .malformed,
                "of dtype \(type.name) and shape \(entry.shape) has \(entry.range.count) bytes, expected \(bits / 8)")
        }
        return type
    }

    /// A view of the tensor's bytes, of a copy of them when the file has them at an address that its type cannot be
    /// read from (old writers did not pad the header).
    private static func view(
        of bytes: UnsafeRawBufferPointer, entry: SafetensorsHeader.Entry, type: ElementType, owner: MappedFile
    ) throws -> TensorView {
        let address = bytes.baseAddress.map { UInt(bitPattern: $0) } ?? 0
        guard address % UInt(type.bytesPerBlock) != 0 else {
            return try TensorView(
                name: entry.name, shape: entry.shape, elementType: type, bytes: bytes, owner: owner)
        }
        let copy = AlignedCopy(bytes)
        return try TensorView(
            name: entry.name, shape: entry.shape, elementType: type, bytes: copy.bytes, owner: copy)
    }
}
