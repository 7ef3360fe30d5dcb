/// A model file that cannot be read, or that does not hold what was asked of it.
///
/// Messages name the file, the byte offset where there is one, and what was expected there.
package struct ModelFileError: Error, Sendable, CustomStringConvertible {
    /// What kind of thing went wrong.
    package enum Code: String, Sendable {
        /// The operating system refused to open or map the file.
        case inputOutput
        /// The file does not start with the bytes of its format.
        case badMagic
        /// The format's version is not one this reader knows.
        case unsupportedVersion
        /// The file ends before what its header promises.
        case truncated
        /// A field holds a value that the format forbids.
        case malformed
        /// A tensor's bytes lie outside the file, or over another tensor's.
        case badOffset
        /// A count or size is beyond the reader's bounds.
        case tooLarge
        /// Two keys or two tensors share a name.
        case duplicateName
        /// A value or element type id that the format does not define.
        case unknownType
        /// An element type that exists, but that this project cannot read.
        case unsupportedType
        /// Text that is not UTF-8.
        case notUTF8
        /// A metadata key that is not in the file.
        case missingKey
        /// A metadata value of another type than was asked for.
        case wrongType
        /// Parts of a split model, or shards of a checkpoint, that do not belong together.
        case badSplit
        /// A tensor that is not in the file.
        case missingTensor
    }

    package let code: Code
    /// Names the file, the byte offset and what was expected.
    package let message: String
    /// The error below this one, when there is one.
    package let cause: (any Error)?

    package init(code: Code, message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message.printable
        self.cause = cause
    }

    /// An error at a byte of a file.
    package init(_ code: Code, path: String, offset: Int, _ message: String) {
        self.init(code: code, message: "\(path): at byte \(offset): \(message)")
    }

    package var description: String { message }
}
