import InferenceCore
import Kernels
import ModelFiles

/// The shape of a decoder model: values only, the same whatever architecture and file they come from.
///
/// Letters used in this module's doc comments: `T` tokens of a step, `D` model width, `H` query heads, `KVH` key/value
/// heads, `dh` head width, `F` feed-forward width, `V` vocabulary, `E` experts, `R` width of the latent of keys and
/// values.
package struct ModelConfiguration: Sendable, Equatable {
    /// The name GGUF files have for it, such as "llama" or "deepseek2".
    package var architecture: String
    /// The model's own name, or the architecture when the file has none.
    package var name: String
    /// `D`.
    package var modelWidth: Int
    /// `V`.
    package var vocabularySize: Int
    /// Positions the model was trained for.
    package var maxContextTokens: Int
    /// Epsilon of the RMS norms.
    package var normEpsilon: Float
    package var attention: AttentionConfiguration
    /// `F` of the dense layers.
    package var feedForwardWidth: Int
    package var activation: GateActivation
    /// nil: every layer is dense.
    package var experts: ExpertConfiguration?
    /// Multiplies the token embedding.
    package var embeddingScale: Float
    /// Logits go through `cap * tanh(logit / cap)`; nil: as they are.
    package var logitCap: Float?
    /// Whether attention and feed-forward results are normalised before they are added.
    package var hasPostNorms: Bool
    /// The rotary embeddings that layers choose from, at least one.
    package var rotary: [RotaryConfiguration]
    /// What differs from layer to layer.
    package var layers: [LayerConfiguration]

    package var layerCount: Int { layers.count }

    /// Dense layers that all see everything, gated by SiLU; the rest is set afterwards.
    package init(
        architecture: String, name: String, layerCount: Int, modelWidth: Int, vocabularySize: Int,
        maxContextTokens: Int, normEpsilon: Float, attention: AttentionConfiguration, feedForwardWidth: Int,
        rotary: [RotaryConfiguration]
    ) {
        self.architecture = architecture
        self.name = name
        self.modelWidth = modelWidth
        self.vocabularySize = vocabularySize
        self.maxContextTokens = maxContextTokens
        self.normEpsilon = normEpsilon
        self.attention = attention
        self.feedForwardWidth = feedForwardWidth
        self.rotary = rotary
        activation = .silu
        experts = nil
        embeddingScale = 1
        hasPostNorms = false
        // An impossible count is refused by `validate`; here it must only not be believed.
        layers = Array(repeating: LayerConfiguration(), count: max(0, min(layerCount, Bounds.layers.upperBound + 1)))
    }

    /// Whether layer `index` has experts in place of one feed-forward block.
    package func hasExperts(layer index: Int) -> Bool {
        experts.map { index >= $0.leadingDenseLayers } ?? false
    }
}

/// What layers of one model may differ in.
package struct LayerConfiguration: Sendable, Equatable {
    /// Positions a token sees, its own included; nil: all before it.
    package var window: Int?
    /// Index in ``ModelConfiguration/rotary``.
    package var rotaryIndex = 0
}

/// How a model's tokens look at each other.
package enum AttentionConfiguration: Sendable, Equatable {
    case grouped(GroupedAttentionConfiguration)
    case latent(LatentAttentionConfiguration)
}

/// Attention whose query heads share key/value heads in groups (Ainslie et al. 2023; one group per head is the original).
package struct GroupedAttentionConfiguration: Sendable, Equatable {
    /// `H`.
    package var headCount: Int
    /// `KVH`; divides `H`.
    package var keyValueHeadCount: Int
    /// `dh`.
    package var headWidth: Int
    /// Multiplies query · key.
    package var scale: Float
    /// Whether query, key and value projections have a bias.
    package var hasBias = false
    /// Whether queries and keys are RMS-normalised per head.
    package var hasQueryKeyNorm = false

    package init(headCount: Int, keyValueHeadCount: Int, headWidth: Int) {
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headWidth = headWidth
        scale = 1 / Float(headWidth).squareRoot()
    }

    /// Query heads per key/value head.
    package var group: Int { headCount / keyValueHeadCount }
    package var queryWidth: Int { headCount * headWidth }
    package var keyValueWidth: Int { keyValueHeadCount * headWidth }
}

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values of all heads are projections of one
/// latent, which is what the cache holds, with one rotated key that the heads share.
package struct LatentAttentionConfiguration: Sendable, Equatable {
    /// `H`.
    package var headCount: Int
    /// Width of the query's own latent; nil: queries are projected directly.
    package var queryRank: Int?
    /// `R`.
    package var latentWidth: Int
    /// Values of a head's query and key without position.
    package var plainWidth: Int
    /// Values of a head's query, and of the shared key, that are rotated.
    package var rotaryWidth: Int
    /// Values of a head's result.
    package var valueWidth: Int
    /// Multiplies query · key.
    package var scale: Float
    /// Epsilon of the norms of both latents, which is not the model's.
    package static let normEpsilon: Float = 1e-6

    /// What the cache holds of a position in each layer, in values.
    package var cachedWidth: Int { latentWidth + rotaryWidth }
    /// Values of a head's query before it is carried over to the latent.
    package var queryHeadWidth: Int { plainWidth + rotaryWidth }
}

/// A mixture of experts in place of a feed-forward block.
package struct ExpertConfiguration: Sendable, Equatable {
    package enum Scoring: Sendable { case softmax, sigmoid }
    /// What stands for a group when groups are chosen.
    package enum GroupScore: Sendable { case best, sumOfTwoBest }

    /// `E`.
    package var count: Int
    /// Experts each token goes through.
    package var usedCount: Int
    /// `F` of one expert.
    package var width: Int
    /// `F` of the block that every token goes through besides; 0: none.
    package var sharedWidth: Int
    package var scoring: Scoring
    /// Equal parts of the experts, of which each token uses `usedGroupCount`.
    package var groupCount = 1
    package var usedGroupCount = 1
    package var groupScore = GroupScore.best
    /// Whether the chosen experts' weights are made to sum to 1.
    package var isNormalized: Bool
    /// Multiplies the weights at last.
    package var weightScale: Float
    /// Whether a bias takes part in the choice (not in the weights).
    package var hasChoiceBias: Bool
    /// Layers before the first that has experts.
    package var leadingDenseLayers: Int

    package init(
        count: Int, usedCount: Int, width: Int, sharedWidth: Int, scoring: Scoring, groupCount: Int = 1,
        usedGroupCount: Int = 1, groupScore: GroupScore = .best, isNormalized: Bool, weightScale: Float,
        hasChoiceBias: Bool, leadingDenseLayers: Int
    ) {
        self.count = count
        self.usedCount = usedCount
        self.width = width
        self.sharedWidth = sharedWidth
        self.scoring = scoring
        self.groupCount = groupCount
        self.usedGroupCount = usedGroupCount
        self.groupScore = groupScore
        self.isNormalized = isNormalized
        self.weightScale = weightScale
        self.hasChoiceBias = hasChoiceBias
        self.leadingDenseLayers = leadingDenseLayers
    }
}

extension InferenceError {
    /// A model this engine cannot run, with what was found and what would be accepted.
    static func unsupported(_ message: String) -> InferenceError {
        InferenceError(code: .unsupportedModel, message: "this model cannot be served: \(message.printable)")
    }
}
