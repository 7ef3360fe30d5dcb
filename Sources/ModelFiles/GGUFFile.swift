import Tensors

/// A memory-mapped GGUF model, version 2 or 3, in one file or in parts.
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
/// All numbers are little-endian. Opening reads the headers only; tensors are views into the mapping, so a process pays
/// for the pages it touches. Thread-safe: nothing changes after `init`.
///
/// A model in parts is files `NAME-00001-of-00003.gguf` and so on in one folder: see ``GGUFSplit``.
package final class GGUFFile: TensorSource {
    /// The mapped parts in order; one for a model that is not split.
    package let files: [MappedFile]
    /// The first part, which has the metadata.
    package var file: MappedFile { files[0] }
    /// The format version, 2 or 3.
    package let version: UInt32
    package let metadata: GGUFMetadata
    /// The tensors that can be read, by name. Shapes are outermost first.
    package let tensors: [String: TensorView]
    /// Names of all tensors in file order, also of those whose element type cannot be read.
    package let tensorNames: [String]
    private let descriptions: [String: TensorDescription]

    /// The path of the first part.
    package var path: String { file.path }

    /// Opens and checks the model at `path`: a file that is not split, or any part of one that is.
    ///
    /// - Throws: `ModelFileError` for a file that cannot be opened, is no GGUF file, ends early, or contradicts itself;
    ///   `badSplit` when the parts do not belong together.
    package convenience init(path: String) throws {
        try self.init(parts: GGUFSplit.parts(of: path))
    }

    /// Reads the header of a file that is already mapped and is not split.
    package convenience init(file: MappedFile) throws {
        try self.init(parts: [GGUFPart(file)])
    }

    private init(parts: [GGUFPart]) throws {
        var tensors: [String: TensorView] = [:]
        var descriptions: [String: TensorDescription] = [:]
        for part in parts {
            for info in part.parser.tensors {
                let description = TensorDescription(
                    name: info.name, shape: info.shape, typeName: info.type.name, elementType: info.type.readable,
                    byteCount: info.byteCount)
                guard descriptions.updateValue(description, forKey: info.name) == nil else {
                    throw ModelFileError(
                        code: .duplicateName,
                        message: "\(part.file.path): tensor \(info.name) is in another part of the model as well")
                }
                tensors[info.name] = try part.view(of: info)
            }
        }
        files = parts.map(\.file)
        version = parts[0].parser.version
        metadata = GGUFMetadata(parts[0].parser.metadata, source: parts[0].file.path)
        tensorNames = parts.flatMap { $0.parser.tensors.map(\.name) }
        self.tensors = tensors
        self.descriptions = descriptions
    }

    package func description(of name: String) -> TensorDescription? { descriptions[name] }

    /// The tensor called `name`.
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
}

/// One GGUF file with its header read.
struct GGUFPart {
    let file: MappedFile
    let parser: GGUFParser

    init(_ file: MappedFile) throws(ModelFileError) {
        self.file = file
        parser = try GGUFParser(file)
    }

    /// The tensor's bytes in the mapping; nil for a type that cannot be read.
    func view(of info: GGUFParser.TensorInfo) throws -> TensorView? {
        guard let type = info.type.readable else { return nil }
        let end = info.fileOffset + info.byteCount
        let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[info.fileOffset..<end])
        do {
            return try TensorView(name: info.name, shape: info.shape, elementType: type, bytes: bytes, owner: file)
        } catch {
            throw ModelFileError(
                code: .malformed, message: "\(file.path): tensor \(info.name): \(error)", cause: error)
        }
    }
}
