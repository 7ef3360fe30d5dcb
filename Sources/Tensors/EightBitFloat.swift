/// The 8-bit float E4M3FN: sign, 4 exponent bits with bias 7, 3 mantissa bits; no infinities, NaN is all ones.
package enum EightBitFloat {
    /// The value of each of the 256 bytes; every one is exact in f32.
    package static let values: [Float] = (0...255).map { value(of: UInt8($0)) }

    /// The value of one byte.
    static func value(of byte: UInt8) -> Float {
        let exponent = Int(byte >> 3 & 15)
        let mantissa = Float(byte & 7) / 8
        if exponent == 15, byte & 7 == 7 { return .nan }
        let magnitude =
            exponent == 0
            ? Float(sign: .plus, exponent: -6, significand: mantissa)
            : Float(sign: .plus, exponent: exponent - 7, significand: 1 + mantissa)
        return byte & 0x80 == 0 ? magnitude : -magnitude
    }
}
