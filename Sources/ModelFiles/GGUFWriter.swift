import Foundation
import Tensors

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Writes a GGUF file of version 3, tensor by tensor, in memory that does not grow with the model.
///
/// The header is written first, so names, shapes and types of all tensors must be known. The bytes go to a file beside
/// the target, which `finish` renames, so a broken-off write leaves nothing under the target's name.
package final class GGUFWriter {
    /// A tensor to come.
    package struct Tensor: Sendable, Equatable {
        package let name: String
        /// Outermost first.
        package let shape: [Int]
        package let type: ElementType
        /// Bytes without padding.
        package let byteCount: Int

        /// - Throws: `ModelFileError` `malformed` for a shape that is not whole blocks, more than four dimensions, or a
        ///   type that GGUF does not have.
        package init(name: String, shape: [Int], type: ElementType) throws(ModelFileError) {
            guard type.isGGML, (1...4).contains(shape.count), shape.allSatisfy({ $0 > 0 }),
                (shape.last ?? 1) % type.blockSize == 0,
                let elements = Self.product(shape), let bytes = type.byteCount(elements: elements)
            else {
                throw ModelFileError(
                    code: .malformed, message: "tensor \(name) \(shape) cannot be written as \(type.name)")
            }
            (self.name, self.shape, self.type, byteCount) = (name, shape, type, bytes)
        }

        /// nil when it is beyond `Int`.
        private static func product(_ shape: [Int]) -> Int? {
            var product = 1
            for dimension in shape {
                let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
                guard !overflow else { return nil }
                product = next
            }
            return product
        }
    }

    private static let alignment = 32

    private let path: String
    private let temporaryPath: String
    private var descriptor: Int32
    private let tensors: [Tensor]
    private var next = 0
    private var written = 0
    private var buffer: [UInt8] = []

    /// Opens the file and writes the header.
    ///
    /// - Throws: `ModelFileError` `inputOutput`, or `duplicateName` for two tensors of one name.
    package init(path: String, metadata: [(key: String, value: GGUFValue)], tensors: [Tensor]) throws(ModelFileError) {
        guard Set(tensors.map(\.name)).count == tensors.count, Set(metadata.map(\.key)).count == metadata.count else {
            throw ModelFileError(code: .duplicateName, message: "\(path): two tensors or two keys of one name")
        }
        self.path = path
        self.tensors = tensors
        temporaryPath = "\(path).\(getpid()).part"
        descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Self.failure(path, "cannot create") }
        append(Array("GGUF".utf8))
        append(UInt32(3))
        append(UInt64(tensors.count))
        append(UInt64(metadata.count))
        for (key, value) in metadata {
            append(key)
            append(value.type.rawValue)
            append(value)
        }
        var offset = 0
        for tensor in tensors {
            append(tensor.name)
            append(UInt32(tensor.shape.count))
            for dimension in tensor.shape.reversed() { append(UInt64(dimension)) }
            append(tensor.type.rawValue)
            append(UInt64(offset))
            offset += tensor.byteCount + Self.padding(after: tensor.byteCount)
        }
        append([UInt8](repeating: 0, count: Self.padding(after: buffer.count)))
        try flush()
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        unlink(temporaryPath)
    }

    /// Appends bytes of the tensors, in their order; a call may not go beyond the end of the tensor it starts in.
    ///
    /// - Throws: `ModelFileError` `inputOutput`, `malformed` for bytes beyond what the tensor has.
    package func write(_ bytes: UnsafeRawBufferPointer) throws(ModelFileError) {
        guard next < tensors.count, bytes.count <= tensors[next].byteCount - written else {
            throw ModelFileError(code: .malformed, message: "\(path): more bytes than the tensors have")
        }
        try writeAll(bytes)
        written += bytes.count
        guard written == tensors[next].byteCount else { return }
        append([UInt8](repeating: 0, count: Self.padding(after: written)))
        try flush()
        next += 1
        written = 0
    }

    /// Forces the file to the disk and gives it its name.
    ///
    /// - Throws: `ModelFileError` `inputOutput`; `truncated` when a tensor is not complete.
    package func finish() throws(ModelFileError) {
        guard next == tensors.count else {
            throw ModelFileError(code: .truncated, message: "\(path): tensor \(tensors[next].name) is not complete")
        }
        guard fsync(descriptor) == 0 else { throw Self.failure(path, "cannot write to the disk") }
        guard rename(temporaryPath, path) == 0 else { throw Self.failure(path, "cannot rename") }
        close(descriptor)
        descriptor = -1
    }

    // MARK: - Bytes

    private static func padding(after count: Int) -> Int { (alignment - count % alignment) % alignment }

    private func append(_ bytes: [UInt8]) { buffer += bytes }

    private func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { buffer.append(contentsOf: $0) }
    }

    private func append(_ text: String) {
        append(UInt64(text.utf8.count))
        buffer.append(contentsOf: text.utf8)
    }

    private func append(_ value: GGUFValue) {
        switch value {
        case .uint8(let value): append(value)
        case .int8(let value): append(value)
        case .uint16(let value): append(value)
        case .int16(let value): append(value)
        case .uint32(let value): append(value)
        case .int32(let value): append(value)
        case .uint64(let value): append(value)
        case .int64(let value): append(value)
        case .float32(let value): append(value.bitPattern)
        case .float64(let value): append(value.bitPattern)
        case .bool(let value): append(UInt8(value ? 1 : 0))
        case .string(let value): append(value)
        case .array(let array): append(array)
        }
    }

    private func append(_ array: GGUFArray) {
        append(array.elementType.rawValue)
        append(UInt64(array.count))
        switch array.storage {
        case .scalars(let bytes): append(bytes)
        case .strings(let strings): for string in strings { append(string) }
        case .arrays(let arrays): for inner in arrays { append(inner) }
        }
    }

    private func flush() throws(ModelFileError) {
        let pending = buffer
        buffer.removeAll(keepingCapacity: true)
        do {
            try pending.withUnsafeBytes { try writeAll($0) }
        } catch let error as ModelFileError {
            throw error
        } catch {
            throw ModelFileError(code: .inputOutput, message: "\(path): \(error)", cause: error)
        }
    }

    private func writeAll(_ bytes: UnsafeRawBufferPointer) throws(ModelFileError) {
        var done = 0
        while done < bytes.count {
            #if canImport(Glibc)
            let count = Glibc.write(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done)
            #elseif canImport(Musl)
            let count = Musl.write(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done)
            #else
            let count = Darwin.write(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done)
            #endif
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure(path, "cannot write") }
            done += count
        }
    }

    private static func failure(_ path: String, _ what: String) -> ModelFileError {
        ModelFileError(code: .inputOutput, message: "\(path): \(what): \(String(cString: strerror(errno)))")
    }
}
