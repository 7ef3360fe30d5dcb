import InferenceCore

extension ModelConfiguration {
    /// Bounds that keep every later size computation far from overflow.
    enum Bounds {
        static let layers = 1...1_024
        static let width = 1...65_536
        static let feedForwardWidth = 1...262_144
        static let heads = 1...1_024
        static let headWidth = 1...1_024
        static let vocabulary = 1...1_048_576
        static let window = 1...1_048_576
        /// A prompt of one token, and one more.
        static let context = 2...1_048_576
        static let experts = 1...4_096
    }

    /// - Throws: ``InferenceError`` `unsupportedModel` for a shape outside the bounds or one that contradicts itself.
    func validated() throws -> ModelConfiguration {
        try Self.require("layer count", layerCount, in: Bounds.layers)
        try Self.require("model width", modelWidth, in: Bounds.width)
        try Self.require("feed-forward width", feedForwardWidth, in: Bounds.feedForwardWidth)
        try Self.require("vocabulary size", vocabularySize, in: Bounds.vocabulary)
        try Self.require("context length", maxContextTokens, in: Bounds.context)
        guard normEpsilon >= 0, normEpsilon.isFinite, embeddingScale.isFinite else {
            throw InferenceError.unsupported("norm epsilon \(normEpsilon), embedding scale \(embeddingScale)")
        }
        if let logitCap, !(logitCap > 0 && logitCap.isFinite) {
            throw InferenceError.unsupported("final_logit_softcapping \(logitCap) (expected: more than 0, or none)")
        }
        switch attention {
        case .grouped(let grouped): try grouped.validate()
        case .latent(let latent): try latent.validate()
        }
        try experts?.validate()
        for rope in rotary { try rope.validate(headWidth: rotatedHeadWidth) }
        for layer in layers {
            if let window = layer.window { try Self.require("sliding window", window, in: Bounds.window) }
            guard rotary.indices.contains(layer.rotaryIndex) else {
                throw InferenceError.unsupported("a layer without a rotary embedding")
            }
        }
        return self
    }

    private var rotatedHeadWidth: Int {
        switch attention {
        case .grouped(let grouped): grouped.headWidth
        case .latent(let latent): latent.rotaryWidth
        }
    }

    static func require(_ what: String, _ value: Int, in range: ClosedRange<Int>) throws {
        guard range.contains(value) else {
            throw InferenceError.unsupported("\(what) \(value) (expected: \(range.lowerBound)...\(range.upperBound))")
        }
    }
}

extension GroupedAttentionConfiguration {
    fileprivate func validate() throws {
        try ModelConfiguration.require("head count", headCount, in: ModelConfiguration.Bounds.heads)
        try ModelConfiguration.require("head width", headWidth, in: 1...KernelLimit.headWidth)
        guard keyValueHeadCount > 0, headCount % keyValueHeadCount == 0 else {
            throw InferenceError.unsupported(
                "\(headCount) query heads with \(keyValueHeadCount) key/value heads (expected: a whole multiple)")
        }
        guard scale > 0, scale.isFinite else { throw InferenceError.unsupported("attention scale \(scale)") }
    }
}

extension LatentAttentionConfiguration {
    fileprivate func validate() throws {
        try ModelConfiguration.require("head count", headCount, in: ModelConfiguration.Bounds.heads)
        try ModelConfiguration.require("latent width", latentWidth, in: 1...KernelLimit.latentWidth)
        try ModelConfiguration.require("plain key width", plainWidth, in: ModelConfiguration.Bounds.headWidth)
        try ModelConfiguration.require("rotated key width", rotaryWidth, in: 2...KernelLimit.latentWidth)
        try ModelConfiguration.require("value width", valueWidth, in: ModelConfiguration.Bounds.headWidth)
        if let queryRank {
            try ModelConfiguration.require("query rank", queryRank, in: ModelConfiguration.Bounds.width)
        }
        guard scale > 0, scale.isFinite else { throw InferenceError.unsupported("attention scale \(scale)") }
    }
}

extension ExpertConfiguration {
    fileprivate func validate() throws {
        try ModelConfiguration.require("expert count", count, in: ModelConfiguration.Bounds.experts)
        try ModelConfiguration.require("experts per token", usedCount, in: 1...count)
        try ModelConfiguration.require("expert width", width, in: ModelConfiguration.Bounds.feedForwardWidth)
        try ModelConfiguration.require("shared expert width", sharedWidth, in: 0...262_144)
        try ModelConfiguration.require("expert groups", groupCount, in: 1...count)
        try ModelConfiguration.require("expert groups per token", usedGroupCount, in: 1...groupCount)
        try ModelConfiguration.require("leading dense layers", leadingDenseLayers, in: 0...1_024)
        guard count % groupCount == 0, usedCount <= usedGroupCount * (count / groupCount) else {
            throw InferenceError.unsupported(
                "\(usedCount) of \(count) experts from \(usedGroupCount) of \(groupCount) groups")
        }
        guard weightScale.isFinite else { throw InferenceError.unsupported("expert weight scale \(weightScale)") }
    }
}

/// What the attention kernels are written for.
enum KernelLimit {
    static let headWidth = 256
    static let latentWidth = 1_024
}
