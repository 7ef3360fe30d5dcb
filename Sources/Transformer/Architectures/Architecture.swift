import InferenceCore
import ModelFiles

/// What sets one model family apart: where its files keep the shape, and what their tensors are called.
///
/// Everything computed is in the shared layers, which ``ModelConfiguration`` switches; see docs/adding-a-model.md.
protocol Architecture: Sendable {
    /// `general.architecture` of GGUF files.
    static var name: String { get }
    /// `model_type` of config.json files.
    static var modelTypes: [String] { get }
    /// What the shape is, by the metadata of a GGUF file.
    static func configuration(_ metadata: ArchitectureMetadata) throws -> ModelConfiguration
    /// What the shape is, by a config.json.
    static func configuration(_ config: HuggingFaceConfiguration) throws -> ModelConfiguration
    /// Parts of a layer in safetensors files, such as "self_attn.q_proj", and what GGUF files call them, "attn_q".
    static var layerParts: [String: String] { get }
    /// What safetensors files have taken off the norm weights.
    static var normOffset: Float { get }
    /// Whether the LM head is the token embedding where config.json does not say.
    static var tiesEmbeddings: Bool { get }
}

extension Architecture {
    static var normOffset: Float { 0 }
    static var tiesEmbeddings: Bool { false }

    /// A configuration with the values that every family's config.json has under the same keys.
    static func common(
        _ config: HuggingFaceConfiguration, attention: AttentionConfiguration, rotary: [RotaryConfiguration]
    ) throws -> ModelConfiguration {
        var model = ModelConfiguration(
            architecture: name,
            name: try config.stringIfPresent("_name_or_path").flatMap { $0.isEmpty ? nil : $0 } ?? name,
            layerCount: try config.int("num_hidden_layers"), modelWidth: try config.int("hidden_size"),
            vocabularySize: try config.int("vocab_size"), maxContextTokens: try config.int("max_position_embeddings"),
            normEpsilon: Float(try config.float("rms_norm_eps")), attention: attention,
            feedForwardWidth: try config.int("intermediate_size"), rotary: rotary)
        model.activation = try config.activation()
        try refuseScoreCap(config.floatIfPresent("attn_logit_softcapping"))
        model.logitCap = try config.floatIfPresent("final_logit_softcapping").map { Float($0) }
        return model
    }

    /// A configuration with the values that every family's GGUF files have under the same keys.
    static func common(
        _ metadata: ArchitectureMetadata, attention: AttentionConfiguration, rotary: [RotaryConfiguration]
    ) throws -> ModelConfiguration {
        try refuseScoreCap(metadata.floatIfPresent("attn_logit_softcapping"))
        var model = ModelConfiguration(
            architecture: name, name: try metadata.modelName, layerCount: try metadata.int("block_count"),
            modelWidth: try metadata.int("embedding_length"), vocabularySize: try metadata.vocabularySize,
            maxContextTokens: try metadata.int("context_length"),
            normEpsilon: Float(try metadata.float("attention.layer_norm_rms_epsilon")), attention: attention,
            feedForwardWidth: try metadata.int("feed_forward_length"), rotary: rotary)
        // Converters write 0 for none.
        model.logitCap = try metadata.floatIfPresent("final_logit_softcapping").flatMap { $0 == 0 ? nil : Float($0) }
        return model
    }

    /// Attention scores are not capped here: a model that needs it would compute something else.
    private static func refuseScoreCap(_ cap: Double?) throws {
        guard let cap, cap != 0 else { return }
        throw InferenceError.unsupported("attn_logit_softcapping \(cap) (expected: none)")
    }
}

/// The families this engine computes.
enum Architectures {
    static let all: [any Architecture.Type] = [Llama.self, Qwen2.self, Qwen3.self, DeepSeek.self, Gemma3.self]

    /// The family of a GGUF file.
    /// - Throws: ``InferenceError`` `unsupportedModel` that lists the known ones.
    static func named(_ name: String) throws -> any Architecture.Type {
        guard let found = all.first(where: { $0.name == name }) else {
            throw InferenceError.unsupported(
                "architecture '\(name.prefix(64))' (expected: \(all.map { $0.name }.joined(separator: ", ")))")
        }
        return found
    }

    /// The family of a config.json.
    /// - Throws: ``InferenceError`` `unsupportedModel` that lists the known ones.
    static func modelType(_ type: String) throws -> any Architecture.Type {
        guard let found = all.first(where: { $0.modelTypes.contains(type) }) else {
            throw InferenceError.unsupported(
                "model_type '\(type.prefix(64))' (expected: \(all.flatMap { $0.modelTypes }.joined(separator: ", ")))")
        }
        return found
    }
}

extension ModelConfiguration {
    /// Reads and checks the metadata of a GGUF file.
    ///
    /// - Throws: ``InferenceError`` `unsupportedModel` when the architecture or a dimension is not one this engine
    ///   computes; `ModelFileError` when a key is missing or of another type.
    package init(metadata: GGUFMetadata) throws {
        let architecture = try Architectures.named(metadata.string("general.architecture"))
        let prefixed = ArchitectureMetadata(metadata: metadata, prefix: architecture.name)
        self = try architecture.configuration(prefixed).validated()
    }

    /// Reads and checks a config.json.
    ///
    /// - Throws: as ``init(metadata:)``.
    package init(huggingFace config: HuggingFaceConfiguration) throws {
        self = try Architectures.modelType(config.string("model_type")).configuration(config).validated()
    }
}
