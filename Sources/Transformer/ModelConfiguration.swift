import InferenceCore
import ModelFiles

/// The shape of a llama-architecture model, read from the metadata of its GGUF file.
///
/// Letters used in this module's doc comments: `T` tokens of a step, `D` model width, `H` query heads, `KVH` key/value
/// heads, `dh` head width, `F` feed-forward width, `V` vocabulary.
package struct ModelConfiguration: Sendable, Equatable {
    /// `general.architecture`; only "llama" is read today.
    package let architecture: String
    /// `general.name`, or the architecture when the file has none.
    package let name: String
    package let layerCount: Int
    /// `D`.
    package let modelWidth: Int
    /// `F`.
    package let feedForwardWidth: Int
    /// `H`.
    package let headCount: Int
    /// `KVH`; divides `H`.
    package let keyValueHeadCount: Int
    /// `dh`.
    package let headWidth: Int
    /// `V`.
    package let vocabularySize: Int
    /// Positions the model was trained for.
    package let maxContextTokens: Int
    /// Epsilon of the RMS norms.
    package let normEpsilon: Float
    /// Base of the rotary frequencies.
    package let ropeBase: Double
    /// Leading elements of each head that are rotated; even, at most `dh`.
    package let ropeWidth: Int
    /// Positions are divided by this before rotation (linear scaling); 1 is none.
    package let ropeLinearScale: Double

    /// Reads and checks the metadata.
    ///
    /// - Throws: ``InferenceError`` `unsupportedModel` when the architecture or a dimension is not one this engine
    ///   computes; `ModelFileError` when a key is missing or of another type.
    package init(metadata: GGUFMetadata) throws {
        let architecture = try metadata.string("general.architecture")
        guard architecture == "llama" else {
            throw InferenceError.unsupported("architecture '\(architecture)' (expected: llama)")
        }
        self.architecture = architecture
        name = try metadata.stringIfPresent("general.name") ?? architecture
        layerCount = try metadata.int("\(architecture).block_count")
        modelWidth = try metadata.int("\(architecture).embedding_length")
        feedForwardWidth = try metadata.int("\(architecture).feed_forward_length")
        headCount = try metadata.int("\(architecture).attention.head_count")
        keyValueHeadCount = try metadata.intIfPresent("\(architecture).attention.head_count_kv") ?? headCount
        maxContextTokens = try metadata.int("\(architecture).context_length")
        normEpsilon = Float(try metadata.float("\(architecture).attention.layer_norm_rms_epsilon"))
        ropeBase = try metadata.floatIfPresent("\(architecture).rope.freq_base") ?? 10_000
        vocabularySize =
            try metadata.intIfPresent("\(architecture).vocab_size") ?? metadata.strings("tokenizer.ggml.tokens").count

        guard headCount > 0, keyValueHeadCount > 0, headCount % keyValueHeadCount == 0 else {
            throw InferenceError.unsupported(
                "\(headCount) query heads with \(keyValueHeadCount) key/value heads (expected: a whole multiple)")
        }
        let derivedHeadWidth = modelWidth / headCount
        headWidth = try metadata.intIfPresent("\(architecture).attention.key_length") ?? derivedHeadWidth
        let valueWidth = try metadata.intIfPresent("\(architecture).attention.value_length") ?? headWidth
        ropeWidth = try metadata.intIfPresent("\(architecture).rope.dimension_count") ?? headWidth
        switch try metadata.stringIfPresent("\(architecture).rope.scaling.type") ?? "none" {
        case "none": ropeLinearScale = 1
        case "linear": ropeLinearScale = try metadata.float("\(architecture).rope.scaling.factor")
        case let other: throw InferenceError.unsupported("rope scaling '\(other)' (expected: none or linear)")
        }
        try validate(valueWidth: valueWidth)
    }

    /// Bounds that keep every later size computation far from overflow, and the widths the kernels are written for.
    private func validate(valueWidth: Int) throws {
        try Self.require("layer count", layerCount, in: 1...1_024)
        try Self.require("model width", modelWidth, in: 1...65_536)
        try Self.require("feed-forward width", feedForwardWidth, in: 1...262_144)
        try Self.require("head count", headCount, in: 1...1_024)
        try Self.require("head width", headWidth, in: 16...256)
        try Self.require("vocabulary size", vocabularySize, in: 1...1_048_576)
        try Self.require("context length", maxContextTokens, in: 1...1_048_576)
        try Self.require("rope width", ropeWidth, in: 2...headWidth)
        guard headWidth % 16 == 0, ropeWidth % 2 == 0, valueWidth == headWidth else {
            throw InferenceError.unsupported(
                "head width \(headWidth), value width \(valueWidth), rope width \(ropeWidth) "
                    + "(expected: equal head widths in multiples of 16, an even rope width)")
        }
        guard ropeLinearScale > 0, ropeLinearScale.isFinite, ropeBase > 1, normEpsilon >= 0 else {
            throw InferenceError.unsupported(
                "rope scale \(ropeLinearScale), rope base \(ropeBase), norm epsilon \(normEpsilon) "
                    + "(expected: positive numbers)")
        }
    }

    private static func require(_ what: String, _ value: Int, in range: ClosedRange<Int>) throws {
        guard range.contains(value) else {
            throw InferenceError.unsupported("\(what) \(value) (expected: \(range.lowerBound)...\(range.upperBound))")
        }
    }
}

extension InferenceError {
    /// A model this engine cannot run, with what was found and what would be accepted.
    static func unsupported(_ message: String) -> InferenceError {
        InferenceError(code: .unsupportedModel, message: "this model cannot be served: \(message)")
    }
}
