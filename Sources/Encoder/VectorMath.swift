import Foundation

/// Sixteen floats at a time of what the encoder does between its matrix products.
enum VectorMath {
    typealias Lanes = SIMD16<Float>
    private typealias Bits = SIMD16<Int32>
    static let width = 16

    // The standard library's `clamped` and `pointwiseMax` go lane by lane; these stay in vector registers.

    /// `ifNegative` in the lanes where `decider` has its sign bit set, `otherwise` elsewhere.
    @inline(__always)
    private static func select(_ decider: Lanes, _ ifNegative: Lanes, _ otherwise: Lanes) -> Lanes {
        let mask = unsafeBitCast(decider, to: Bits.self) &>> 31
        let a = unsafeBitCast(ifNegative, to: Bits.self) & mask
        let b = unsafeBitCast(otherwise, to: Bits.self) & ~mask
        return unsafeBitCast(a | b, to: Lanes.self)
    }

    @inline(__always)
    private static func greater(_ a: Lanes, _ b: Lanes) -> Lanes { select(a - b, b, a) }

    /// eˣ for x up to 88, e⁻⁸⁷ below -87; relative error below 2e-7 (the polynomial of Cephes' `expf`).
    @inline(__always)
    static func exp(_ x: Lanes) -> Lanes {
        let clamped = greater(x, Lanes(repeating: -87))
        // Adding 1.5 · 2^23 rounds to an integer and leaves it in the low bits of the sum.
        let magic = Lanes(repeating: 12_582_912)
        let shifted = clamped * 1.442_695_041 + magic
        let n = shifted - magic
        let r = clamped - n * 0.693_359_375 + n * 2.121_944_40e-4
        var p = r * 1.987_569_15e-4 + 1.398_199_950_7e-3
        p = p * r + 8.333_451_907_3e-3
        p = p * r + 4.166_579_589_4e-2
        p = p * r + 1.666_666_545_9e-1
        p = p * r + 5.000_000_120_1e-1
        p = p * r * r + r + 1
        let bits = unsafeBitCast(shifted, to: SIMD16<Int32>.self) &- unsafeBitCast(magic, to: SIMD16<Int32>.self)
        let power = unsafeBitCast((bits &+ 127) &<< 23, to: Lanes.self)
        return p * power
    }

    /// The error function, absolute error below 5e-7: a rational approximation on -4...4, beyond which erf is ±1 in f32.
    @inline(__always)
    static func erf(_ value: Lanes) -> Lanes {
        let x = greater(-greater(-value, Lanes(repeating: -4)), Lanes(repeating: -4))
        let s = x * x
        var p = s * -2.726_142_258_013_06e-10 + 2.770_681_424_959_02e-08
        p = p * s - 2.101_024_020_825_08e-06
        p = p * s - 5.692_506_394_623_46e-05
        p = p * s - 7.349_906_303_268_55e-04
        p = p * s - 2.954_599_808_540_25e-03
        p = p * s - 1.609_603_332_624_15e-02
        var q = s * -1.456_607_184_649_96e-05 - 2.133_740_552_789_05e-04
        q = q * s - 1.682_826_974_382_03e-03
        q = q * s - 7.373_329_167_204_68e-03
        q = q * s - 1.426_473_905_141_89e-02
        return x * p / q
    }

    /// GELU in its exact form, ½x(1 + erf(x/√2)), in place.
    static func gelu(_ values: UnsafeMutablePointer<Float>, count: Int) {
        let raw = UnsafeMutableRawPointer(values)
        var index = 0
        while index + width <= count {
            let offset = index * MemoryLayout<Float>.stride
            let x = raw.loadUnaligned(fromByteOffset: offset, as: Lanes.self)
            raw.storeBytes(of: x * 0.5 * (erf(x * 0.707_106_781) + 1), toByteOffset: offset, as: Lanes.self)
            index += width
        }
        while index < count {
            values[index] = 0.5 * values[index] * (1 + Foundation.erf(values[index] * 0.707_106_781))
            index += 1
        }
    }

    /// Softmax of the first `count` values, in place. The row must have room for a whole number of lanes; what lies
    /// behind `count` is overwritten.
    static func softmax(_ row: UnsafeMutablePointer<Float>, count: Int) {
        let raw = UnsafeMutableRawPointer(row)
        let whole = count / width * width
        var greatest = row[0]
        if whole > 0 {
            var lanes = raw.loadUnaligned(as: Lanes.self)
            for index in stride(from: width, to: whole, by: width) {
                lanes = greater(lanes, raw.loadUnaligned(fromByteOffset: index * 4, as: Lanes.self))
            }
            for lane in 0..<width { greatest = max(greatest, lanes[lane]) }
        }
        for index in whole..<count { greatest = max(greatest, row[index]) }
        var sums = Lanes.zero
        for index in stride(from: 0, to: count, by: width) {
            let powers = exp(raw.loadUnaligned(fromByteOffset: index * 4, as: Lanes.self) - greatest)
            raw.storeBytes(of: powers, toByteOffset: index * 4, as: Lanes.self)
            if index < whole { sums += powers }
        }
        var sum = sums.sum()
        for index in whole..<count { sum += row[index] }
        let scale = 1 / sum
        for index in stride(from: 0, to: count, by: width) {
            let powers = raw.loadUnaligned(fromByteOffset: index * 4, as: Lanes.self)
            raw.storeBytes(of: powers * scale, toByteOffset: index * 4, as: Lanes.self)
        }
    }

    /// x = LayerNorm(x + y) for each of `rows` rows of `columns`; `y` may be nil.
    static func addLayerNorm(
        _ x: UnsafeMutablePointer<Float>, _ y: UnsafePointer<Float>?, weight: UnsafePointer<Float>,
        bias: UnsafePointer<Float>, rows: Int, columns: Int, epsilon: Float
    ) {
        for row in 0..<rows {
            let values = x + row * columns
            if let y {
                let other = y + row * columns
                for column in 0..<columns { values[column] += other[column] }
            }
            var sum = Lanes.zero
            var tail: Float = 0
            let raw = UnsafeRawPointer(values)
            let whole = columns / width * width
            for column in stride(from: 0, to: whole, by: width) {
                sum += raw.loadUnaligned(fromByteOffset: column * MemoryLayout<Float>.stride, as: Lanes.self)
            }
            for column in whole..<columns { tail += values[column] }
            let mean = (sum.sum() + tail) / Float(columns)
            var squares = Lanes.zero
            tail = 0
            for column in stride(from: 0, to: whole, by: width) {
                let lanes = raw.loadUnaligned(fromByteOffset: column * MemoryLayout<Float>.stride, as: Lanes.self)
                squares += (lanes - mean) * (lanes - mean)
            }
            for column in whole..<columns { tail += (values[column] - mean) * (values[column] - mean) }
            let variance = (squares.sum() + tail) / Float(columns)
            let scale = 1 / (variance + epsilon).squareRoot()
            for column in 0..<columns {
                values[column] = (values[column] - mean) * scale * weight[column] + bias[column]
            }
        }
    }
}
