/// Vector arithmetic over one row of logits, in a fixed order whatever the machine.
///
/// A logit that is no finite number counts as -infinity: its token is never chosen, and changes nothing for the others.
///
/// Written with SIMD types of the standard library: no fused multiply-add is formed, so every machine rounds alike.
enum LogitMath {
    private typealias Lanes = SIMD8<Float>

    /// e^x for each lane, relative error below 2e-7; 0 below -87 and for what is not at most 0, NaN among it.
    private static func exp(_ x: Lanes) -> Lanes {
        // Adding 1.5 * 2^23 rounds to an integer, which then sits in the low bits of the sum.
        let rounder = Lanes(repeating: 12_582_912)
        let clamped = x.replacing(with: -87, where: x .< -87)
        let shifted = clamped * 1.442_695_04 + rounder
        let n = shifted - rounder
        let r = clamped - n * 0.693_359_375 - n * -2.121_944_4e-4
        var p = Lanes(repeating: 1.987_569_15e-4)
        p = p * r + 1.398_199_95e-3
        p = p * r + 8.333_451_9e-3
        p = p * r + 4.166_579_6e-2
        p = p * r + 1.666_666_55e-1
        p = p * r + 5.000_000_1e-1
        p = p * r * r + r + 1
        let exponent = unsafeBitCast(shifted, to: SIMD8<Int32>.self) &<< 23
        let result = unsafeBitCast(unsafeBitCast(p, to: SIMD8<Int32>.self) &+ exponent, to: Lanes.self)
        return Lanes.zero.replacing(with: result, where: (x .>= -87) .& (x .<= 0))
    }

    private static func load(_ values: UnsafePointer<Float>) -> Lanes {
        UnsafeRawPointer(values).loadUnaligned(as: Lanes.self)
    }

    /// The largest finite value; -infinity where there is none.
    static func maximum(_ logits: UnsafeBufferPointer<Float>) -> Float {
        guard let base = logits.baseAddress else { return -.infinity }
        var lanes = Lanes(repeating: -.infinity)
        var index = 0
        while index + 8 <= logits.count {
            let values = load(base + index)
            lanes.replace(with: values, where: (values .> lanes) .& (values .< .infinity))
            index += 8
        }
        var best = -Float.infinity
        for lane in 0..<8 where lanes[lane] > best { best = lanes[lane] }
        while index < logits.count {
            if base[index] > best, base[index] < .infinity { best = base[index] }
            index += 1
        }
        return best
    }

    /// The first index of the largest finite value.
    ///
    /// - Returns: nil when no value is finite.
    static func argmax(_ logits: UnsafeBufferPointer<Float>) -> Int? {
        let best = maximum(logits)
        guard best > -.infinity else { return nil }
        return logits.firstIndex(of: best)
    }

    /// Sum of e^((logit - maximum) * scale), accumulated in Double in order of index (eight interleaved sums).
    ///
    /// - Parameters:
    ///   - maximum: the largest finite logit.
    ///   - scale: more than 0, finite; 1 / temperature.
    ///   - weights: receives each term when given; at least as long as the row.
    static func exponentialSum(
        _ logits: UnsafeBufferPointer<Float>, maximum: Float, scale: Float, weights: UnsafeMutablePointer<Float>? = nil
    ) -> Double {
        guard let base = logits.baseAddress else { return 0 }
        var low = SIMD4<Double>(repeating: 0)
        var high = SIMD4<Double>(repeating: 0)
        var index = 0
        while index < logits.count {
            let remaining = logits.count - index
            var values = Lanes(repeating: -.infinity)
            if remaining >= 8 {
                values = load(base + index)
            } else {
                for lane in 0..<remaining { values[lane] = base[index + lane] }
            }
            let terms = exp((values - maximum) * scale)
            low += SIMD4<Double>(terms.lowHalf)
            high += SIMD4<Double>(terms.highHalf)
            if let weights {
                if remaining >= 8 {
                    UnsafeMutableRawPointer(weights + index).storeBytes(of: terms, as: Lanes.self)
                } else {
                    for lane in 0..<remaining { weights[index + lane] = terms[lane] }
                }
            }
            index += 8
        }
        let sum = low + high
        return (sum[0] + sum[1]) + (sum[2] + sum[3])
    }
}
