import ModelFiles
import Tensors

/// A model as it will stand in a GGUF file: metadata, and where each tensor's values come from.
package struct ModelPlan: Sendable {
    /// Names the source in errors.
    package let source: String
    /// In the order in which it is written.
    package var metadata: [(key: String, value: GGUFValue)]
    package let tensors: [PlannedTensor]

    package init(source: String, metadata: [(key: String, value: GGUFValue)], tensors: [PlannedTensor]) {
        self.source = source
        self.metadata = metadata
        self.tensors = tensors
    }

    /// The metadata with typed access.
    package var typedMetadata: GGUFMetadata {
        GGUFMetadata(Dictionary(metadata.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 }), source: source)
    }

    /// Replaces or adds a key.
    package mutating func set(_ key: String, _ value: GGUFValue) {
        if let index = metadata.firstIndex(where: { $0.key == key }) {
            metadata[index].value = value
        } else {
            metadata.append((key, value))
        }
    }

    /// The plan that copies a GGUF model as it is.
    ///
    /// - Throws: `ModelFileError` `unsupportedType` for a tensor that cannot be read.
    package init(_ file: GGUFFile) throws {
        // What belongs together stays together, and the architecture comes first, whatever order a dictionary has.
        func rank(_ key: String) -> Int {
            key == "general.architecture" ? 0 : key.hasPrefix("general.") ? 1 : key.hasPrefix("tokenizer.") ? 3 : 2
        }
        let keys = file.metadata.keys.filter { !$0.hasPrefix("split.") && $0 != "general.alignment" }
            .sorted { (rank($0), $0) < (rank($1), $1) }
        self.init(
            source: file.path, metadata: keys.compactMap { key in file.metadata[key].map { (key, $0) } },
            tensors: try file.tensorNames.map { PlannedTensor(try file.tensor($0)) })
    }

    /// The plan for any model that can be read: a GGUF file, a part of one, or a safetensors folder.
    ///
    /// - Parameter preTokenizer: name of the pre-tokeniser where the folder's cannot be told.
    /// - Throws: `ModelFileError`, ``ModelToolsError``.
    package static func read(path: String, preTokenizer: String? = nil) throws -> ModelPlan {
        if SafetensorsCheckpoint.isCheckpoint(path) {
            return try CheckpointConverter(
                SafetensorsCheckpoint(directory: path), preTokenizer: preTokenizer
            ).plan()
        }
        return try ModelPlan(GGUFFile(path: path))
    }
}

/// Reads one row of a tensor as f32; called from several threads.
package typealias RowReader = @Sendable (_ row: Int, _ output: UnsafeMutablePointer<Float>) throws -> Void

/// A tensor to be written: its name and shape, and how to come by its values.
package struct PlannedTensor: Sendable {
    /// The name in the GGUF file.
    package let name: String
    /// Outermost first.
    package let shape: [Int]
    /// The type of the source's values.
    package let storedType: ElementType
    /// The bytes as they are, when the values are not changed on the way.
    package let verbatim: TensorView?
    /// Makes a reader of rows; what it keeps in memory goes with it.
    package let open: @Sendable () throws -> RowReader
    /// Gives the source's pages back.
    package let close: @Sendable () -> Void

    /// A tensor that is copied.
    package init(_ view: TensorView, name: String? = nil) {
        self.init(
            name: name ?? view.name, shape: view.shape, sources: [view], verbatim: view.scales == nil ? view : nil
        ) {
            { try view.dequantizedRow($0, into: $1) }
        }
    }

    /// A tensor computed from `sources`.
    package init(
        name: String, shape: [Int], sources: [TensorView], verbatim: TensorView? = nil,
        open: @escaping @Sendable () throws -> RowReader
    ) {
        self.name = name
        // GGUF has no scalars; one value is a vector of one.
        self.shape = shape.isEmpty ? [1] : shape
        storedType = sources.first?.elementType ?? .f32
        self.verbatim = verbatim
        self.open = open
        close = { for source in sources { source.adviseDontNeed() } }
    }

    /// A tensor of given values.
    package init(name: String, values: [Float]) {
        self.init(name: name, shape: [values.count], sources: []) {
            { _, output in for (i, value) in values.enumerated() { output[i] = value } }
        }
    }

    package var columns: Int { shape.last ?? 1 }
    package var rows: Int { shape.dropLast().reduce(1, *) }
    package var elementCount: Int { shape.reduce(1, *) }
}

/// A model that cannot be converted, quantised or described.
package struct ModelToolsError: Error, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// An architecture, tokeniser or option this tool does not know.
        case unsupported
        /// A configuration that lacks something or contradicts the tensors.
        case malformed
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message.printable
    }

    package var description: String { message }
}
