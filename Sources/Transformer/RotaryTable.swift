import Foundation
import Kernels

/// Cosines and sines of the rotary embedding (Su et al. 2021, "RoFormer") for the tokens of one step.
///
/// Computed per step rather than per context position: a step has few tokens, a context may have a million positions.
struct RotaryTable {
    /// Values per token: half the rotated width.
    let pairCount: Int
    /// [T, pairCount].
    let cosine: AlignedBuffer<Float>
    /// [T, pairCount].
    let sine: AlignedBuffer<Float>
    /// Radians per position of each pair, scaling and per-pair factors included.
    private let frequencies: [Double]

    /// - Parameters:
    ///   - factors: `rope_freqs.weight` of the file: each pair's frequency is divided by its factor.
    ///   - capacity: most tokens of a step.
    init(model: ModelConfiguration, factors: [Float]?, capacity: Int) throws {
        pairCount = model.ropeWidth / 2
        cosine = try AlignedBuffer(count: capacity * pairCount)
        sine = try AlignedBuffer(count: capacity * pairCount)
        frequencies = (0..<pairCount).map { pair in
            let exponent = -2 * Double(pair) / Double(model.ropeWidth)
            return pow(model.ropeBase, exponent) / model.ropeLinearScale / Double(factors?[pair] ?? 1)
        }
    }

    /// Fills row `token` for a position.
    func fill(token: Int, position: Int) {
        for (pair, frequency) in frequencies.enumerated() {
            let angle = Double(position) * frequency
            cosine.pointer[token * pairCount + pair] = Float(cos(angle))
            sine.pointer[token * pairCount + pair] = Float(sin(angle))
        }
    }
}
