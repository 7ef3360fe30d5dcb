import InferenceCore
import Kernels
import ModelFiles

/// What the layers of a stage share.
struct StageResources {
    enum Cache {
        case grouped(KeyValueCache)
        case latent(LatentCache)

        var type: KeyValueType {
            switch self {
            case .grouped(let cache): cache.type
            case .latent(let cache): cache.type
            }
        }

        var byteCount: Int {
            switch self {
            case .grouped(let cache): cache.bytesPerBlock * cache.blockCount
            case .latent(let cache): cache.bytesPerBlock * cache.blockCount
            }
        }
    }

    let cache: Cache
    /// As ``ModelConfiguration/rotary``.
    let rotary: [RotaryTable]
    /// The windows of the stage's layers, each once.
    let windows: [Int?]
    let firstLayer: Int

    init(_ weights: ModelWeights, layers: Range<Int>, configuration: StageConfiguration) throws {
        let model = weights.model
        let type = configuration.kvType(of: model.attention)
        switch model.attention {
        case .grouped(let grouped):
            cache = .grouped(
                try KeyValueCache(
                    layerCount: layers.count, blockCount: configuration.kvBlockCount,
                    kvHeads: grouped.keyValueHeadCount,
                    headWidth: grouped.headWidth, type: type))
        case .latent(let latent):
            cache = .latent(
                try LatentCache(
                    layerCount: layers.count, blockCount: configuration.kvBlockCount, rank: latent.latentWidth,
                    ropeWidth: latent.rotaryWidth, type: type))
        }
        rotary = try model.rotary.map { rotary in
            let name = TensorName.ropeFrequencyFactors
            let factors = weights.contains(name) ? try weights.vector(name, count: rotary.width / 2) : nil
            return try RotaryTable(
                rotary, factors: factors.map { Array($0.buffer) }, capacity: configuration.maxBatchedTokens)
        }
        var windows: [Int?] = []
        for layer in layers where !windows.contains(model.layers[layer].window) {
            windows.append(model.layers[layer].window)
        }
        self.windows = windows
        firstLayer = layers.lowerBound
    }

    /// Which of the step's attention problems is a layer's.
    func workIndex(_ layer: Int, _ model: ModelConfiguration) -> Int {
        windows.firstIndex(of: model.layers[layer].window) ?? 0
    }
}
