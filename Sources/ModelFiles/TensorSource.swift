import Tensors

/// What a model file says about one of its tensors, without touching the tensor's bytes.
package struct TensorDescription: Sendable, Equatable {
    package let name: String
    /// Outermost first.
    package let shape: [Int]
    /// The type's usual name, also where it cannot be read.
    package let typeName: String
    /// nil for a type that cannot be read.
    package let elementType: ElementType?
    /// Bytes in the file, without separate scales.
    package let byteCount: Int

    /// Elements in all.
    package var elementCount: Int { shape.reduce(1, *) }
}

/// Named tensors of one model, whatever files they lie in. Thread-safe; the bytes stay mapped, so that a process pays for
/// the tensors it reads only.
package protocol TensorSource: Sendable {
    /// Names the file or folder in errors.
    var path: String { get }
    /// The mapped files that hold tensors, in order.
    var files: [MappedFile] { get }
    /// The model's tensors in file order, also those whose element type cannot be read. Block scales that belong to a
    /// tensor are part of it and not listed.
    var tensorNames: [String] { get }

    /// What is known about the tensor called `name`; nil when there is none.
    func description(of name: String) -> TensorDescription?

    /// The tensor called `name`, with its block scales where it has some.
    ///
    /// - Throws: `ModelFileError` with `missingTensor`, `unsupportedType` when its element type cannot be read, or
    ///   `malformed` for block scales that are missing or do not fit.
    func tensor(_ name: String) throws -> TensorView
}

extension TensorSource {
    /// Whether there is a tensor called `name`.
    package func contains(_ name: String) -> Bool { description(of: name) != nil }

    /// Tells the kernel that no tensor will be read again soon, so that all pages may go.
    package func adviseDontNeed() {
        for file in files { file.adviseDontNeed(file.bytes) }
    }
}

extension TensorView {
    /// Tells the kernel that this tensor's bytes will not be read again soon, so that their pages may go; reading them
    /// later fetches them again. Nothing happens for a tensor that is not in a mapped file.
    package func adviseDontNeed() {
        (owner as? MappedFile)?.adviseDontNeed(bytes)
    }
}
