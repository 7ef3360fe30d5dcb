import InferenceCore

/// A pretended model whose every number is an exact integer, so that results do not depend on batch or chunk.
///
/// Each layer keeps a value per position in its KV cache and mixes the values of all earlier positions, read through the
/// block table, into the next hidden state. A wrong block, a stale value, a missing position or a step out of order
/// changes every later token.
final class FakeStage: ModelStage {
    static let prime: UInt64 = 65_521

    let modelWidth: Int
    let vocabularySize: Int
    let layerRange: Range<Int>
    let layerCount: Int
    let maxContextTokens: Int
    let kvBlockSize: Int
    let kvBlockCount: Int
    let kvType: String
    let weightByteCount = 1_000
    let maxBatchedTokens: Int
    var isFirst: Bool { layerRange.lowerBound == 0 }
    var isLast: Bool { layerRange.upperBound == layerCount }
    /// Tokens whose embedding is no number; the first stage's business.
    let brokenTokens: Set<TokenID>
    /// When set, `forward` throws it.
    var failure: InferenceError?
    /// Called at the beginning of each forward, on the step thread.
    var onForward: (StepBatch) -> Void = { _ in }

    /// [layers of this stage][slot]
    private var cache: [[UInt64]]

    init(
        layers: Range<Int> = 0..<6, of layerCount: Int = 6, vocabularySize: Int = 300, maxContextTokens: Int = 128,
        kvBlockSize: Int = 4, kvBlockCount: Int = 64, kvType: String = "f16", maxBatchedTokens: Int = 16,
        brokenTokens: Set<TokenID> = [], modelWidth: Int = 4
    ) {
        self.modelWidth = modelWidth
        layerRange = layers
        self.layerCount = layerCount
        self.vocabularySize = vocabularySize
        self.maxContextTokens = maxContextTokens
        self.kvBlockSize = kvBlockSize
        self.kvBlockCount = kvBlockCount
        self.kvType = kvType
        self.maxBatchedTokens = maxBatchedTokens
        self.brokenTokens = brokenTokens
        cache = Array(repeating: Array(repeating: 0, count: kvBlockSize * kvBlockCount), count: layers.count)
    }

    func forward(_ batch: StepBatch, hidden: UnsafeMutableBufferPointer<Float>) throws {
        onForward(batch)
        if let failure { throw failure }
        var row = 0
        for step in batch.sequences {
            for (offset, token) in step.tokenIDs.enumerated() {
                let isBroken = isFirst ? brokenTokens.contains(token) : hidden[row * modelWidth].isNaN
                // The cache holds something finite in its place, as the real one does.
                var state = isBroken ? 0 : isFirst ? UInt64(token) + 1 : UInt64(hidden[row * modelWidth])
                let position = step.startPosition + offset
                for (index, layer) in layerRange.enumerated() {
                    cache[index][slot(position, step)] = state
                    state = mix(step, position: position, cache: cache[index], layer: layer, state: state)
                }
                for column in 0..<modelWidth { hidden[row * modelWidth + column] = isBroken ? .nan : Float(state) }
                row += 1
            }
        }
    }

    private func slot(_ position: Int, _ step: SequenceStep) -> Int {
        Int(step.blockTable[position / kvBlockSize]) * kvBlockSize + position % kvBlockSize
    }

    private func mix(_ step: SequenceStep, position: Int, cache: [UInt64], layer: Int, state: UInt64) -> UInt64 {
        var sum = state &* UInt64(layer + 3)
        for earlier in 0...position {
            sum = (sum &+ cache[slot(earlier, step)] &* UInt64(earlier + layer + 7)) % Self.prime
        }
        return sum
    }

    func withLogits(
        rows: [Int], hidden: UnsafeBufferPointer<Float>,
        _ body: (_ index: Int, _ logits: UnsafeMutableBufferPointer<Float>) throws -> Void
    ) throws {
        var logits = [Float](repeating: 0, count: vocabularySize)
        for (index, row) in rows.enumerated() {
            let state = UInt64(hidden[row * modelWidth])
            for token in logits.indices {
                logits[token] = Float(CounterRandom.uniform(seed: state, position: UInt64(token))) * 8
            }
            try logits.withUnsafeMutableBufferPointer { try body(index, $0) }
        }
    }
}
