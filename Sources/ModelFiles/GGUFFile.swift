import Tensors

/// A memory-mapped GGUF file, version 2 or 3.
///
/// ```
/// offset  size
/// 0       4     magic "GGUF"
/// 4       4     version, uint32
/// 8       8     tensor count, uint64
/// 16      8     metadata key count, uint64
/// 24            keys: string key, uint32 value type, value
///               (string: uint64 byte count, UTF-8 bytes; array: uint32 element type, uint64 count, elements)
/// ...           tensors: string name, uint32 dimension count, uint64 dimensions (innermost first),
///               uint32 element type, uint64 offset in the data section
/// ...           padding to a multiple of general.alignment (32 when absent)
/// ...           tensor data, each tensor aligned alike
/// ```
/// All numbers are little-endian. Opening reads the header only; tensors are views into the mapping, so a process pays
/// for the pages it touches. Thread-safe: nothing changes after `init`.
package final class GGUFFile: Sendable {
    /// The mapping under the tensors; for page advice.
    package let file: MappedFile
    /// The format version, 2 or 3.
    package let version: UInt32
    package let metadata: GGUFMetadata
    /// The tensors that can be read, by name. Shapes are outermost first.
    package let tensors: [String: TensorView]
    /// Names of all tensors in file order, also of those whose element type cannot be read.
    package let tensorNames: [String]
    /// Element type names of the tensors that are in the file but cannot be read.
    private let unreadableTypes: [String: String]

    /// The path the file was opened by.
    package var path: String { file.path }

    /// Opens and checks the file at `path`.
    ///
    /// - Throws: `ModelFileError` for a file that cannot be opened, is no GGUF file, ends early, or contradicts itself.
    package convenience init(path: String) throws {
        try self.init(file: MappedFile(path: path))
    }

    /// Reads the header of a file that is already mapped.
    package init(file: MappedFile) throws {
        let parser = try GGUFParser(file)
        var tensors: [String: TensorView] = [:]
        var unreadable: [String: String] = [:]
        tensors.reserveCapacity(parser.tensors.count)
        for info in parser.tensors {
            guard let type = info.type.readable else {
                unreadable[info.name] = info.type.name
                continue
            }
            let end = info.fileOffset + info.byteCount
            let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[info.fileOffset..<end])
            do {
                tensors[info.name] = try TensorView(
                    name: info.name, shape: info.shape, elementType: type, bytes: bytes, owner: file)
            } catch {
                throw ModelFileError(
                    code: .malformed, message: "\(file.path): tensor \(info.name): \(error)", cause: error)
            }
        }
        self.file = file
        version = parser.version
        metadata = GGUFMetadata(parser.metadata, source: file.path)
        self.tensors = tensors
        tensorNames = parser.tensors.map(\.name)
        unreadableTypes = unreadable
    }

    /// The tensor called `name`.
    ///
    /// - Throws: `ModelFileError` with `missingTensor`, or `unsupportedType` when its element type cannot be read.
    package func tensor(_ name: String) throws -> TensorView {
        if let tensor = tensors[name] { return tensor }
        if let type = unreadableTypes[name] {
            throw ModelFileError(
                code: .unsupportedType,
                message: "\(path): tensor \(name) has element type \(type), which is not supported")
        }
        throw ModelFileError(code: .missingTensor, message: "\(path): tensor \(name) is missing")
    }
}
