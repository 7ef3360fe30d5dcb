/// Writes rows of f32 values in ggml's block formats.
///
/// Each type follows ggml's reference (`quantize_row_*_ref`): the same search, the same order of additions, the same
/// rounding, so that a file has the bytes llama.cpp's own tools give it (K types: up to the compiler's choice of fused
/// multiplications).
package enum TensorQuantizer {
    /// Whether rows can be written as `type`.
    package static func canQuantize(_ type: ElementType) -> Bool {
        switch type {
        case .f32, .f16, .bf16, .q8_0, .q4_0, .q4_1, .q5_0, .q5_1, .q4_K, .q5_K, .q6_K: true
        default: false
        }
    }

    /// Writes `count` values as `type`; `output` has `type.byteCount(elements: count)` bytes.
    ///
    /// - Precondition: `canQuantize(type)`, and `count` is whole blocks.
    package static func quantize(
        _ values: UnsafePointer<Float>, count: Int, as type: ElementType, into output: UnsafeMutableRawPointer
    ) {
        precondition(canQuantize(type) && count % type.blockSize == 0)
        switch type {
        case .f32: output.copyMemory(from: values, byteCount: 4 * count)
        case .f16: for i in 0..<count { store(HalfFloat.bits(values[i]), at: 2 * i, in: output) }
        case .bf16: for i in 0..<count { store(HalfFloat.brainBits(values[i]), at: 2 * i, in: output) }
        default:
            for block in 0..<count / type.blockSize {
                let source = values + block * type.blockSize
                let target = output + block * type.bytesPerBlock
                switch type {
                case .q8_0: Blocks32.q8_0(source, target)
                case .q4_0: Blocks32.symmetric(source, target, bits: 4)
                case .q5_0: Blocks32.symmetric(source, target, bits: 5)
                case .q4_1: Blocks32.asymmetric(source, target, bits: 4)
                case .q5_1: Blocks32.asymmetric(source, target, bits: 5)
                case .q4_K: Superblocks.q4_K(source, target)
                case .q5_K: Superblocks.q5_K(source, target)
                default: Superblocks.q6_K(source, target)
                }
            }
        }
    }

    static func store(_ bits: UInt16, at offset: Int, in output: UnsafeMutableRawPointer) {
        output.storeBytes(of: bits.littleEndian, toByteOffset: offset, as: UInt16.self)
    }
}

/// 16-bit floats by bits, since Swift's Float16 is not on every platform.
enum HalfFloat {
    /// The nearest f16, ties to even; too large values become infinity.
    static func bits(_ value: Float) -> UInt16 {
        let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
        let magnitude = value.bitPattern & 0x7fff_ffff
        if magnitude > 0x7f80_0000 { return sign | 0x7e00 }
        // 65520 and above round to infinity.
        if magnitude >= 0x477f_f000 { return sign | 0x7c00 }
        if magnitude < 0x3880_0000 {
            // Subnormal: adding 0.5 puts the f16's last place at the f32's.
            let shifted = Float(bitPattern: magnitude) + 0.5
            return sign | UInt16(truncatingIfNeeded: shifted.bitPattern &- 0x3f00_0000)
        }
        let rounded = magnitude &- 0x3800_0000 &+ 0xfff &+ (magnitude >> 13 & 1)
        return sign | UInt16(truncatingIfNeeded: rounded >> 13)
    }

    /// The value of an f16.
    static func value(_ bits: UInt16) -> Float {
        let sign = UInt32(bits & 0x8000) << 16
        let magnitude = UInt32(bits & 0x7fff) << 13
        if magnitude >= 0x7c00 << 13 { return Float(bitPattern: sign | magnitude | 0x7f80_0000) }
        let value = Float(bitPattern: magnitude) * Float(sign: .plus, exponent: 112, significand: 1)
        return Float(bitPattern: value.bitPattern | sign)
    }

    /// The nearest bf16, ties to even.
    static func brainBits(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        if bits & 0x7fff_ffff > 0x7f80_0000 { return UInt16(truncatingIfNeeded: bits >> 16) | 64 }
        return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ (bits >> 16 & 1)) >> 16)
    }
}

/// Blocks of 32 values with one f16 scale.
private enum Blocks32 {
    /// `d = max|x| / 127`, rounded half away from zero.
    static func q8_0(_ x: UnsafePointer<Float>, _ y: UnsafeMutableRawPointer) {
        var largest: Float = 0
        for i in 0..<32 { largest = max(largest, abs(x[i])) }
        let d = largest / 127
        let inverse = d == 0 ? 0 : 1 / d
        TensorQuantizer.store(HalfFloat.bits(d), at: 0, in: y)
        for i in 0..<32 {
            let q = Int8(truncatingIfNeeded: integer((x[i] * inverse).rounded(.toNearestOrAwayFromZero)))
            y.storeBytes(of: q, toByteOffset: 2 + i, as: Int8.self)
        }
    }

    /// Q4_0 and Q5_0: `d = x / -2^(bits - 1)` for the x of largest magnitude, so that it is exact.
    static func symmetric(_ x: UnsafePointer<Float>, _ y: UnsafeMutableRawPointer, bits: Int) {
        var largest: Float = 0
        var extreme: Float = 0
        for i in 0..<32 where largest < abs(x[i]) {
            largest = abs(x[i])
            extreme = x[i]
        }
        let half = Float(1 << (bits - 1))
        let d = extreme / -half
        let inverse = d == 0 ? 0 : 1 / d
        TensorQuantizer.store(HalfFloat.bits(d), at: 0, in: y)
        pack(y, at: 2, bits: bits) { min((1 << bits) - 1, integer(x[$0] * inverse + (half + 0.5))) }
    }

    /// Q4_1 and Q5_1: `d = (max - min) / (2^bits - 1)`, and the minimum.
    static func asymmetric(_ x: UnsafePointer<Float>, _ y: UnsafeMutableRawPointer, bits: Int) {
        var low = Float.greatestFiniteMagnitude
        var high = -Float.greatestFiniteMagnitude
        for i in 0..<32 {
            if x[i] < low { low = x[i] }
            if x[i] > high { high = x[i] }
        }
        let d = (high - low) / Float((1 << bits) - 1)
        let inverse = d == 0 ? 0 : 1 / d
        TensorQuantizer.store(HalfFloat.bits(d), at: 0, in: y)
        TensorQuantizer.store(HalfFloat.bits(low), at: 2, in: y)
        pack(y, at: 4, bits: bits) { min((1 << bits) - 1, integer((x[$0] - low) * inverse + 0.5)) }
    }

    /// Fifth bits as 32 bits first where there are some, then nibble pairs (i, i + 16).
    private static func pack(_ y: UnsafeMutableRawPointer, at offset: Int, bits: Int, _ quant: (Int) -> Int) {
        var high: UInt32 = 0
        let nibbles = offset + (bits == 5 ? 4 : 0)
        for i in 0..<16 {
            let first = UInt32(truncatingIfNeeded: quant(i))
            let second = UInt32(truncatingIfNeeded: quant(i + 16))
            y.storeBytes(
                of: UInt8(truncatingIfNeeded: first & 15 | (second & 15) << 4), toByteOffset: nibbles + i,
                as: UInt8.self)
            high |= (first >> 4 & 1) << UInt32(i) | (second >> 4 & 1) << UInt32(i + 16)
        }
        if bits == 5 { y.storeBytes(of: high.littleEndian, toByteOffset: offset, as: UInt32.self) }
    }
}

/// Truncates; values that no block can hold (from NaN or infinity in the source) become zero instead of trapping.
func integer(_ value: Float) -> Int { abs(value) < 0x1p31 ? Int(value) : 0 }
