import Crypto
import ModelFiles
import Tensors

/// SHA-256 of the single tensors of a model file, so that a wrong file can be told to the tensor.
enum TensorDigests {
    /// Digests by tensor name; nil for a file that is no model file or cannot be read as one.
    ///
    /// - Parameter format: a file name whose ending says what the file is.
    static func of(path: String, format: String) -> [String: String]? {
        guard let source = open(path: path, format: format) else { return nil }
        var digests: [String: String] = [:]
        for name in source.tensorNames {
            // A type that this version cannot read is covered by the file's digest alone.
            guard let tensor = try? source.tensor(name), !name.utf8.contains(where: { $0 < 0x20 }) else { continue }
            var hash = SHA256()
            hash.update(bufferPointer: tensor.bytes)
            digests[name] = FileDigest.hexadecimal(hash.finalize())
            tensor.adviseDontNeed()
        }
        return digests.isEmpty ? nil : digests
    }

    /// Names of the tensors that are missing or differ, sorted; nil when the file cannot be read as a model any more.
    static func differences(path: String, format: String, expected: [String: String]) -> [String]? {
        guard let found = of(path: path, format: format) else { return nil }
        return Set(expected.keys).union(found.keys).filter { expected[$0] != found[$0] }.sorted()
    }

    private static func open(path: String, format: String) -> (any TensorSource)? {
        if format.hasSuffix(".gguf") {
            // This file alone, also where it is a part of a model.
            return (try? MappedFile(path: path)).flatMap { try? GGUFFile(file: $0) }
        }
        return format.hasSuffix(".safetensors") ? try? SafetensorsFile(path: path) : nil
    }
}
