import Foundation

/// The shape of a BERT encoder, as `config.json` gives it.
package struct EncoderConfiguration: Sendable, Equatable, Decodable {
    /// Width of the hidden states and of the embedding.
    package var hiddenSize: Int
    package var layerCount: Int
    package var headCount: Int
    package var intermediateSize: Int
    package var vocabularySize: Int
    /// Positions that have an embedding: the longest sequence possible.
    package var maxPositions: Int
    package var layerNormEpsilon: Float

    /// Components per attention head.
    package var headWidth: Int { hiddenSize / headCount }

    private enum CodingKeys: String, CodingKey {
        case hiddenSize = "hidden_size"
        case layerCount = "num_hidden_layers"
        case headCount = "num_attention_heads"
        case intermediateSize = "intermediate_size"
        case vocabularySize = "vocab_size"
        case maxPositions = "max_position_embeddings"
        case layerNormEpsilon = "layer_norm_eps"
        case modelType = "model_type"
        case activation = "hidden_act"
        case positionType = "position_embedding_type"
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        hiddenSize = try values.decode(Int.self, forKey: .hiddenSize)
        layerCount = try values.decode(Int.self, forKey: .layerCount)
        headCount = try values.decode(Int.self, forKey: .headCount)
        intermediateSize = try values.decode(Int.self, forKey: .intermediateSize)
        vocabularySize = try values.decode(Int.self, forKey: .vocabularySize)
        maxPositions = try values.decode(Int.self, forKey: .maxPositions)
        layerNormEpsilon = try values.decodeIfPresent(Float.self, forKey: .layerNormEpsilon) ?? 1e-12
        let type = try values.decodeIfPresent(String.self, forKey: .modelType) ?? "bert"
        let activation = try values.decodeIfPresent(String.self, forKey: .activation) ?? "gelu"
        let positions = try values.decodeIfPresent(String.self, forKey: .positionType) ?? "absolute"
        guard type == "bert", activation == "gelu", positions == "absolute" else {
            throw EncoderError(
                code: .unsupportedModel,
                message: "got model type \(type), activation \(activation), \(positions) positions; expected bert with "
                    + "gelu and absolute positions")
        }
        let sizes = [hiddenSize, layerCount, headCount, intermediateSize, vocabularySize, maxPositions]
        guard sizes.allSatisfy({ (1...1_000_000).contains($0) }), hiddenSize % headCount == 0 else {
            throw EncoderError(
                code: .unsupportedModel,
                message: "impossible sizes: width \(hiddenSize), heads \(headCount), layers \(layerCount)")
        }
    }

    /// Reads `config.json`.
    ///
    /// - Throws: `modelUnreadable`, `unsupportedModel`.
    package static func read(path: String) throws -> EncoderConfiguration {
        do {
            return try JSONDecoder().decode(Self.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch let error as EncoderError {
            throw error
        } catch {
            throw EncoderError(code: .modelUnreadable, message: "cannot read \(path)", cause: error)
        }
    }
}
