import ModelFiles
import Tensors

/// The weights of a BERT encoder in f32. D is the hidden size, F the intermediate size.
struct EncoderWeights: Sendable {
    /// y = x Wᵀ + b
    struct Linear: Sendable {
        /// [outputs, inputs], row-major.
        var weight: FloatBuffer
        /// [outputs]
        var bias: FloatBuffer
        var inputs: Int
        var outputs: Int
    }

    struct LayerNorm: Sendable {
        /// [D]
        var weight: FloatBuffer
        /// [D]
        var bias: FloatBuffer
    }

    struct Layer: Sendable {
        /// Query, key and value projections one below the other, [3 D, D].
        var queryKeyValue: Linear
        /// [D, D]
        var attentionOutput: Linear
        var attentionNorm: LayerNorm
        /// [F, D]
        var intermediate: Linear
        /// [D, F]
        var output: Linear
        var outputNorm: LayerNorm
    }

    /// [vocabulary, D], read row by row where the file is mapped: a text touches few of its rows.
    var wordEmbeddings: TensorView
    /// [positions, D]
    var positions: FloatBuffer
    /// [token types, D]
    var types: FloatBuffer
    var typeCount: Int
    var embeddingNorm: LayerNorm
    var layers: [Layer]

    /// Reads the weights, with or without the `bert.` prefix that some checkpoints have.
    ///
    /// - Throws: `unsupportedModel` for tensors of another shape than the configuration says; errors of the file.
    init(file: SafetensorsFile, configuration: EncoderConfiguration) throws {
        let reader = WeightReader(
            file: file, prefix: file.tensors["bert.embeddings.word_embeddings.weight"] == nil ? "" : "bert.")
        let width = configuration.hiddenSize
        wordEmbeddings = try reader.view("embeddings.word_embeddings.weight", [configuration.vocabularySize, width])
        positions = FloatBuffer(
            try reader.values("embeddings.position_embeddings.weight", [configuration.maxPositions, width]))
        let types = try reader.view("embeddings.token_type_embeddings.weight", [nil, width])
        guard types.rows > 0 else {
            throw EncoderError(code: .unsupportedModel, message: "the model has no token types")
        }
        self.types = FloatBuffer(try types.dequantized())
        typeCount = types.rows
        embeddingNorm = try reader.norm("embeddings.LayerNorm", width)
        layers = try (0..<configuration.layerCount).map { index in
            let layer = "encoder.layer.\(index)"
            return Layer(
                queryKeyValue: try reader.linear(
                    ["query", "key", "value"].map { "\(layer).attention.self.\($0)" }, outputs: width, inputs: width),
                attentionOutput: try reader.linear(
                    ["\(layer).attention.output.dense"], outputs: width, inputs: width),
                attentionNorm: try reader.norm("\(layer).attention.output.LayerNorm", width),
                intermediate: try reader.linear(
                    ["\(layer).intermediate.dense"], outputs: configuration.intermediateSize, inputs: width),
                output: try reader.linear(
                    ["\(layer).output.dense"], outputs: width, inputs: configuration.intermediateSize),
                outputNorm: try reader.norm("\(layer).output.LayerNorm", width))
        }
    }
}

/// What makes a score of the first token's hidden state: `classifier(tanh(pooler(h)))`, [D] -> [D] -> one logit.
struct ClassifierWeights: Sendable {
    var pooler: EncoderWeights.Linear
    var classifier: EncoderWeights.Linear

    /// nil for a model without a classifier.
    ///
    /// - Throws: `unsupportedModel` unless it has one output; errors of the file.
    init?(file: SafetensorsFile, configuration: EncoderConfiguration) throws {
        guard file.tensorNames.contains("classifier.weight") else { return nil }
        let width = configuration.hiddenSize
        pooler = try WeightReader(file: file, prefix: "bert.").linear(["pooler.dense"], outputs: width, inputs: width)
        classifier = try WeightReader(file: file, prefix: "").linear(["classifier"], outputs: 1, inputs: width)
    }
}

/// Finds tensors by name and checks their shapes.
private struct WeightReader {
    var file: SafetensorsFile
    var prefix: String

    /// The tensor; a nil dimension may be anything.
    func view(_ name: String, _ shape: [Int?]) throws -> TensorView {
        let tensor = try file.tensor(prefix + name)
        let fits = tensor.shape.count == shape.count && zip(tensor.shape, shape).allSatisfy { $1 == nil || $0 == $1 }
        guard fits else {
            let expected = shape.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
            throw EncoderError(
                code: .unsupportedModel,
                message: "tensor \(prefix + name) has shape \(tensor.shape), expected [\(expected)]")
        }
        return tensor
    }

    func values(_ name: String, _ shape: [Int?]) throws -> [Float] { try view(name, shape).dequantized() }

    func norm(_ name: String, _ width: Int) throws -> EncoderWeights.LayerNorm {
        .init(
            weight: FloatBuffer(try values("\(name).weight", [width])),
            bias: FloatBuffer(try values("\(name).bias", [width])))
    }

    /// The named layers stacked into one.
    func linear(_ names: [String], outputs: Int, inputs: Int) throws -> EncoderWeights.Linear {
        let weight = try names.flatMap { try values("\($0).weight", [outputs, inputs]) }
        let bias = try names.flatMap { try values("\($0).bias", [outputs]) }
        return .init(
            weight: FloatBuffer(weight), bias: FloatBuffer(bias), inputs: inputs, outputs: outputs * names.count)
    }
}
