import InferenceCore
import Kernels
import ModelFiles
import Tensors

/// A model on disk: its shape, and its tensors under the names GGUF files have for them, whatever files they are in.
///
/// Only headers are read here. Thread-safe: nothing changes after `init`.
package struct ModelWeights: Sendable {
    package let model: ModelConfiguration
    package let source: any TensorSource
    /// What a safetensors file has taken off the norm weights.
    let normOffset: Float
    /// The tensor of the LM head.
    let headName: String
    /// Our name of each tensor that the forward pass reads, and the source's.
    private let names: [String: String]
    /// Of experts in a tensor each: the source's names by expert.
    private let expertNames: [String: [Int: String]]

    /// Opens a GGUF file, or a folder with config.json and safetensors.
    ///
    /// - Throws: `ModelFileError` for what cannot be read; ``InferenceError`` `unsupportedModel`.
    package init(path: String) throws {
        if SafetensorsCheckpoint.isCheckpoint(path) {
            try self.init(checkpoint: SafetensorsCheckpoint(directory: path))
        } else {
            try self.init(file: GGUFFile(path: path))
        }
    }

    /// - Throws: ``InferenceError`` `unsupportedModel` for a shape or a tensor that this engine does not compute.
    package init(file: GGUFFile) throws {
        var model = try ModelConfiguration(metadata: file.metadata)
        model.noteBiases(of: file)
        let tensors = CanonicalNames(gguf: file)
        let isTied = tensors.names[TensorName.output] == nil
        try self.init(model: model, source: file, tensors: tensors, normOffset: 0, isTied: isTied)
    }

    /// - Throws: as ``init(file:)``.
    package init(checkpoint: SafetensorsCheckpoint) throws {
        let config = try HuggingFaceConfiguration(
            json: checkpoint.configuration, source: "\(checkpoint.path)/config.json")
        let model = try ModelConfiguration(huggingFace: config)
        let architecture = try Architectures.modelType(config.string("model_type"))
        let tensors = try CanonicalNames(
            checkpoint: checkpoint, layerParts: architecture.layerParts, layerCount: model.layerCount)
        try self.init(
            model: model, source: checkpoint, tensors: tensors, normOffset: architecture.normOffset,
            isTied: config.boolIfPresent("tie_word_embeddings") ?? architecture.tiesEmbeddings)
    }

    private init(
        model: ModelConfiguration, source: any TensorSource, tensors: CanonicalNames, normOffset: Float, isTied: Bool
    ) throws {
        self.model = model
        self.source = source
        self.normOffset = normOffset
        headName = isTied ? TensorName.tokenEmbedding : TensorName.output
        names = tensors.names
        expertNames = tensors.experts
        try checkParts()
    }

    /// Whether the source has this tensor, whole or by experts.
    func contains(_ name: String) -> Bool { names[name] != nil || expertNames[name] != nil }

    /// A tensor that must have this shape.
    ///
    /// - Throws: `ModelFileError` for a missing tensor or a type that cannot be read; ``InferenceError``
    ///   `unsupportedModel` for another shape.
    func tensor(_ name: String, shape: [Int]) throws -> TensorView {
        guard let stored = names[name] else {
            throw ModelFileError(code: .missingTensor, message: "\(source.path): tensor \(name) is missing")
        }
        return try source.tensor(stored).expectingShape(shape)
    }

    /// One expert's matrix, `shape`, out of a tensor that stacks them or of its own.
    ///
    /// - Throws: as ``tensor(_:shape:)``.
    func expert(_ name: String, _ index: Int, of count: Int, shape: [Int]) throws -> TensorView {
        guard let byExpert = expertNames[name] else {
            return try tensor(name, shape: [count] + shape).slice(index)
        }
        guard let stored = byExpert[index] else {
            throw ModelFileError(
                code: .missingTensor, message: "\(source.path): tensor \(name) of expert \(index) is missing")
        }
        return try source.tensor(stored).expectingShape(shape)
    }

    /// A small vector as f32.
    func vector(_ name: String, count: Int) throws -> AlignedVector {
        try tensor(name, shape: [count]).loadedVector()
    }

    /// The weights of a norm.
    func norm(_ name: String, count: Int) throws -> AlignedVector {
        let vector = try vector(name, count: count)
        if normOffset != 0 { for index in 0..<count { vector[index] += normOffset } }
        return vector
    }

    /// Bytes of each layer's tensors as stored.
    package var layerByteCounts: [Int] {
        var bytes = [Int](repeating: 0, count: model.layerCount)
        for (name, tensor) in descriptions {
            if let layer = TensorName.layerIndex(of: name), bytes.indices.contains(layer) {
                bytes[layer] += tensor.byteCount
            }
        }
        return bytes
    }

    /// Bytes of the LM head as stored.
    package var headByteCount: Int { names[headName].flatMap { source.description(of: $0)?.byteCount } ?? 0 }

    /// What the source says about the tensors, by our names; each expert's own comes by itself.
    var descriptions: [(name: String, tensor: TensorDescription)] {
        let whole = names.compactMap { name, stored in source.description(of: stored).map { (name, $0) } }
        let byExpert = expertNames.flatMap { name, stored in
            stored.values.compactMap { source.description(of: $0).map { (name, $0) } }
        }
        return whole + byExpert
    }

    /// The types that matrices are stored in.
    package var matrixTypes: Set<ElementType> {
        Set(descriptions.filter { $0.tensor.shape.count > 1 }.compactMap { $0.tensor.elementType })
    }

    /// Refuses tensors that the forward pass would silently leave out, such as biases it does not know.
    private func checkParts() throws {
        for name in Array(names.keys) + Array(expertNames.keys) {
            guard let layer = TensorName.layerIndex(of: name) else {
                guard TensorName.outsideLayers.contains(name) else { throw notPart(name) }
                continue
            }
            guard model.layers.indices.contains(layer),
                LayerParts.names(model, layer: layer).contains(TensorName.part(of: name))
            else { throw notPart(name) }
        }
    }

    private func notPart(_ name: String) -> InferenceError {
        .unsupported("tensor '\((names[name] ?? name).prefix(128))' is not part of a \(model.architecture) model")
    }
}

extension ModelConfiguration {
    /// GGUF metadata do not say whether attention has biases; the tensors do.
    fileprivate mutating func noteBiases(of file: GGUFFile) {
        guard case .grouped(var grouped) = attention, file.contains("blk.0.attn_q.bias") else { return }
        grouped.hasBias = true
        attention = .grouped(grouped)
    }
}
