import Foundation
import Kernels

/// Cosines and sines of a rotary embedding for the tokens of one step.
///
/// Computed per step rather than per context position: a step has few tokens, a context may have a million positions.
struct RotaryTable {
    let layout: RotaryConfiguration.Layout
    /// Leading values of a head that rotate.
    let width: Int
    /// [T, pairCount].
    private let cosines: AlignedBuffer<Float>
    /// [T, pairCount].
    private let sines: AlignedBuffer<Float>
    /// Radians per position of each pair, scaling and per-pair factors included.
    private let frequencies: [Double]
    private let magnitude: Double

    /// - Parameters:
    ///   - factors: `rope_freqs.weight` of the file: each pair's frequency is divided by its factor.
    ///   - capacity: most tokens of a step.
    init(_ rotary: RotaryConfiguration, factors: [Float]?, capacity: Int) throws {
        layout = rotary.layout
        width = rotary.width
        magnitude = rotary.magnitude
        let pairCount = rotary.width / 2
        cosines = try AlignedBuffer(count: capacity * pairCount)
        sines = try AlignedBuffer(count: capacity * pairCount)
        frequencies = rotary.frequencies.enumerated().map { $0.element / Double(factors?[$0.offset] ?? 1) }
    }

    /// Fills row `token` for a position.
    func fill(token: Int, position: Int) {
        let first = token * frequencies.count
        for (pair, frequency) in frequencies.enumerated() {
            let angle = Double(position) * frequency
            cosines.pointer[first + pair] = Float(cos(angle) * magnitude)
            sines.pointer[first + pair] = Float(sin(angle) * magnitude)
        }
    }

    /// Rotates `heads` heads, `headWidth` values apart, by the position of a token.
    func rotate(_ heads: UnsafeMutablePointer<Float>, count: Int, headWidth: Int, token: Int, kernels: KernelSet) {
        kernels.rope(
            heads, heads: count, headWidth: headWidth, rotary: width,
            cosine: UnsafePointer(cosines.pointer + token * frequencies.count),
            sine: UnsafePointer(sines.pointer + token * frequencies.count), interleaved: layout == .interleaved)
    }
}
