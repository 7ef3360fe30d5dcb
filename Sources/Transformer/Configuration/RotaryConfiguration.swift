import Foundation
import InferenceCore

/// A rotary position embedding (Su et al. 2021, "RoFormer") and how it is stretched to longer contexts.
package struct RotaryConfiguration: Sendable, Equatable {
    /// Which values of a head form a pair.
    package enum Layout: Sendable {
        /// `(2i, 2i + 1)`.
        case interleaved
        /// `(i, i + width / 2)`.
        case halves
    }

    /// Base of the frequencies.
    package var base: Double
    /// Leading values of a head that rotate; even.
    package var width: Int
    package var layout: Layout
    package var scaling = RotaryScaling.none

    package init(base: Double, width: Int, layout: Layout, scaling: RotaryScaling = .none) {
        self.base = base
        self.width = width
        self.layout = layout
        self.scaling = scaling
    }

    /// Radians per position of each pair.
    package var frequencies: [Double] {
        let plain = (0..<width / 2).map { pow(base, -2 * Double($0) / Double(width)) }
        switch scaling {
        case .none: return plain
        case .linear(let factor): return plain.map { $0 / factor }
        case .llama3(let scaling): return plain.map(scaling.frequency)
        case .yarn(let scaling): return scaling.frequencies(plain, base: base)
        }
    }

    /// What cosines and sines are multiplied by.
    package var magnitude: Double {
        if case .yarn(let scaling) = scaling { scaling.magnitude } else { 1 }
    }

    func validate(headWidth: Int) throws {
        guard base > 1, base.isFinite, width % 2 == 0, width >= 2, width <= headWidth, scaling.isUsable else {
            throw InferenceError.unsupported(
                "rope base \(base), rope width \(width), scaling \(scaling) (expected: positive numbers, an even width of "
                    + "at most \(headWidth))")
        }
    }
}

/// How rotary frequencies are changed for contexts longer than those first trained on.
package enum RotaryScaling: Sendable, Equatable {
    case none
    /// All frequencies are divided by the factor.
    case linear(factor: Double)
    case llama3(Llama3Scaling)
    case yarn(YarnScaling)

    var isUsable: Bool {
        func positive(_ values: Double...) -> Bool { values.allSatisfy { $0 > 0 && $0.isFinite } }
        switch self {
        case .none: return true
        case .linear(let factor): return positive(factor)
        case .llama3(let s):
            return positive(s.factor, s.originalContextTokens, s.lowFrequencyFactor, s.highFrequencyFactor)
                && s.highFrequencyFactor > s.lowFrequencyFactor
        case .yarn(let s): return positive(s.factor, s.originalContextTokens, s.betaFast, s.betaSlow, s.magnitude)
        }
    }
}

/// The scaling of Llama 3.1: long wavelengths are stretched, short ones kept, those between blended.
package struct Llama3Scaling: Sendable, Equatable {
    package var factor: Double
    package var lowFrequencyFactor: Double
    package var highFrequencyFactor: Double
    package var originalContextTokens: Double

    package init(
        factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContextTokens: Double
    ) {
        self.factor = factor
        self.lowFrequencyFactor = lowFrequencyFactor
        self.highFrequencyFactor = highFrequencyFactor
        self.originalContextTokens = originalContextTokens
    }

    func frequency(_ plain: Double) -> Double {
        let wavelength = 2 * Double.pi / plain
        if wavelength < originalContextTokens / highFrequencyFactor { return plain }
        if wavelength > originalContextTokens / lowFrequencyFactor { return plain / factor }
        let share =
            (originalContextTokens / wavelength - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor)
        return (1 - share) * plain / factor + share * plain
    }
}

/// YaRN (Peng et al. 2023, arXiv 2309.00071), applied at every position.
package struct YarnScaling: Sendable, Equatable {
    package var factor: Double
    package var originalContextTokens: Double
    /// Pairs that turn more often than this within the original context keep their frequency.
    package var betaFast = 32.0
    /// Pairs that turn less often than this are stretched by the whole factor.
    package var betaSlow = 1.0
    /// What cosines and sines are multiplied by.
    package var magnitude: Double

    package init(factor: Double, originalContextTokens: Double, magnitude: Double) {
        self.factor = factor
        self.originalContextTokens = originalContextTokens
        self.magnitude = magnitude
    }

    /// The paper's attention temperature: `0.1 * scale * ln(factor) + 1`.
    package static func temperature(factor: Double, scale: Double = 1) -> Double {
        factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
    }

    func frequencies(_ plain: [Double], base: Double) -> [Double] {
        let width = Double(2 * plain.count)
        func pair(turns: Double) -> Double {
            width * log(originalContextTokens / (turns * 2 * .pi)) / (2 * log(base))
        }
        let low = max(pair(turns: betaFast).rounded(.down), 0)
        let high = min(pair(turns: betaSlow).rounded(.up), width - 1)
        return plain.enumerated().map { index, frequency in
            let ramp = min(max((Double(index) - low) / (high == low ? 0.001 : high - low), 0), 1)
            return frequency / factor * ramp + frequency * (1 - ramp)
        }
    }
}
