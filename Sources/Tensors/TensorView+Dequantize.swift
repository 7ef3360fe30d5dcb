extension TensorView {
    /// Whether rows of this element type can be dequantised.
    package var canDequantize: Bool {
        switch elementType {
        case .f32, .f16, .bf16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_NL,
            .f8_E4M3:
            true
        default: false
        }
    }

    /// Writes row `row` as `columns` f32 values: the scalar reference that faster code is held to.
    /// - Throws: `outOfRange`; `unsupportedType` unless `canDequantize`.
    package func dequantizedRow(_ row: Int, into output: UnsafeMutablePointer<Float>) throws {
        let source = try rowBytes(row)
        switch elementType {
        case .f32:
            for i in 0..<columns { output[i] = source.loadUnaligned(fromByteOffset: i * 4, as: Float.self) }
        case .f16:
            for i in 0..<columns { output[i] = source.half(at: i * 2) }
        case .bf16:
            for i in 0..<columns {
                let bits = UInt16(littleEndian: source.loadUnaligned(fromByteOffset: i * 2, as: UInt16.self))
                output[i] = Float(bitPattern: UInt32(bits) << 16)
            }
        case .f8_E4M3:
            EightBitFloat.values.withUnsafeBufferPointer { values in
                for i in 0..<columns { output[i] = values[Int(source[i])] }
            }
        case _ where canDequantize:
            for block in 0..<columns / elementType.blockSize {
                let bytes = UnsafeRawBufferPointer(
                    rebasing: source[block * elementType.bytesPerBlock..<(block + 1) * elementType.bytesPerBlock])
                dequantizeBlock(bytes, into: output + block * elementType.blockSize)
            }
        default:
            throw TensorError(
                code: .unsupportedType, message: "tensor \(name): \(elementType.name) cannot be dequantised")
        }
        scales?.apply(toRow: row, output, count: columns)
    }

    /// The whole tensor as f32, row-major.
    /// - Throws: as `dequantizedRow(_:into:)`.
    package func dequantized() throws -> [Float] {
        try [Float](unsafeUninitializedCapacity: elementCount) { buffer, count in
            if let base = buffer.baseAddress {
                for row in 0..<rows { try dequantizedRow(row, into: base + row * columns) }
            }
            count = elementCount
        }
    }

    private func dequantizeBlock(_ block: UnsafeRawBufferPointer, into output: UnsafeMutablePointer<Float>) {
        switch elementType {
        case .q4_0: block.dequantizeQ4(minimum: false, into: output)
        case .q4_1: block.dequantizeQ4(minimum: true, into: output)
        case .q5_0: block.dequantizeQ5(minimum: false, into: output)
        case .q5_1: block.dequantizeQ5(minimum: true, into: output)
        case .q8_0: block.dequantizeQ8(into: output)
        case .q2_K: block.dequantizeQ2K(into: output)
        case .q3_K: block.dequantizeQ3K(into: output)
        case .q4_K: block.dequantizeQ4K(into: output)
        case .q5_K: block.dequantizeQ5K(into: output)
        case .q6_K: block.dequantizeQ6K(into: output)
        case .iq4_NL: block.dequantizeIQ4NL(into: output)
        default: break
        }
    }
}

// Blocks of 32: f16 d, then f16 m for the types with a minimum.
extension UnsafeRawBufferPointer {
    /// 16 nibble pairs (i, i + 16); `d * (q - 8)` or `d * q + m`.
    fileprivate func dequantizeQ4(minimum: Bool, into output: UnsafeMutablePointer<Float>) {
        for i in 0..<32 {
            let q = nibble(i / 16, of: self[(minimum ? 4 : 2) + i % 16])
            output[i] = minimum ? Float(q) * half(at: 0) + half(at: 2) : Float(Int(q) - 8) * half(at: 0)
        }
    }

    /// 32 high bits, 16 nibble pairs; `d * (q - 16)` or `d * q + m`.
    fileprivate func dequantizeQ5(minimum: Bool, into output: UnsafeMutablePointer<Float>) {
        let start = minimum ? 4 : 2
        for i in 0..<32 {
            let q = nibble(i / 16, of: self[start + 4 + i % 16]) | (self[start + i / 8] >> UInt8(i % 8) & 1) << 4
            output[i] = minimum ? Float(q) * half(at: 0) + half(at: 2) : Float(Int(q) - 16) * half(at: 0)
        }
    }

    /// 16 nibble pairs (i, i + 16), each an index of a table of unevenly spaced values.
    fileprivate func dequantizeIQ4NL(into output: UnsafeMutablePointer<Float>) {
        let d = half(at: 0)
        for i in 0..<32 { output[i] = d * unevenLevels[Int(nibble(i / 16, of: self[2 + i % 16]))] }
    }

    /// 32 int8.
    fileprivate func dequantizeQ8(into output: UnsafeMutablePointer<Float>) {
        let d = half(at: 0)
        for i in 0..<32 { output[i] = Float(Int8(bitPattern: self[2 + i])) * d }
    }
}

// Superblocks of 256: every product of scales and quants is exact in f32, so only the minimum rounds.
extension UnsafeRawBufferPointer {
    /// 16 scale and minimum nibbles, 64 bytes of pairs, f16 d, f16 m. Block `4h + j` is in pair `j` of the 32 bytes `h`.
    fileprivate func dequantizeQ2K(into output: UnsafeMutablePointer<Float>) {
        let d = half(at: 80)
        let m = half(at: 82)
        for i in 0..<256 {
            let code = self[i / 16]
            let q = self[16 + i / 128 * 32 + i % 32] >> UInt8(i % 128 / 32 * 2) & 3
            output[i] = d * Float(code & 15) * Float(q) - m * Float(code >> 4)
        }
    }

    /// 32 bytes whose bit `b` is block `b`'s high bit, 64 bytes of pairs as in Q2_K, 12 bytes of 6-bit scales (4 bits
    /// in the nibbles of the first 8, 2 in the last 4), f16 d.
    fileprivate func dequantizeQ3K(into output: UnsafeMutablePointer<Float>) {
        let d = half(at: 108)
        for i in 0..<256 {
            let part = i / 16
            let low = nibble(part / 8, of: self[96 + part % 8])
            let scale = Int(low | (self[104 + part % 4] >> UInt8(part / 4 * 2) & 3) << 4) - 32
            let pair = self[32 + i / 128 * 32 + i % 32] >> UInt8(i % 128 / 32 * 2) & 3
            let q = pair | (self[i % 32] >> UInt8(i / 32) & 1) << 2
            output[i] = d * Float(scale) * Float(Int(q) - 4)
        }
    }

    /// f16 d, f16 m, 12 bytes of 6-bit scales and minimums, 128 bytes of nibbles. Block `2c` is in the low nibbles of
    /// the 32 bytes `c`, block `2c + 1` in the high ones.
    fileprivate func dequantizeQ4K(into output: UnsafeMutablePointer<Float>) {
        for i in 0..<256 {
            let q = nibble(i / 32 % 2, of: self[16 + i / 64 * 32 + i % 32])
            output[i] = scaledKQuant(q, block: i / 32)
        }
    }

    /// As Q4_K, with 32 bytes whose bit `b` is block `b`'s high bit before the nibbles.
    fileprivate func dequantizeQ5K(into output: UnsafeMutablePointer<Float>) {
        for i in 0..<256 {
            let q = nibble(i / 32 % 2, of: self[48 + i / 64 * 32 + i % 32])
            output[i] = scaledKQuant(q | (self[16 + i % 32] >> UInt8(i / 32) & 1) << 4, block: i / 32)
        }
    }

    /// `d * scale * q - m * minimum`. The first four blocks have the 6 bits of each in one byte, the others 4 bits there
    /// and 2 at the top of the first four's bytes.
    private func scaledKQuant(_ q: UInt8, block b: Int) -> Float {
        let scale = b < 4 ? self[4 + b] & 63 : self[8 + b] & 15 | (self[b] >> 6) << 4
        let minimum = b < 4 ? self[8 + b] & 63 : self[8 + b] >> 4 | (self[4 + b] >> 6) << 4
        return half(at: 0) * Float(scale) * Float(q) - half(at: 2) * Float(minimum)
    }

    /// 128 bytes of low nibbles, 64 of high pairs, 16 int8 scales, f16 d. Each half of the columns has 64 nibble bytes,
    /// its first two blocks in the low nibbles and the others in the high ones.
    fileprivate func dequantizeQ6K(into output: UnsafeMutablePointer<Float>) {
        let d = half(at: 208)
        for i in 0..<256 {
            let block = i % 128 / 32
            let low = nibble(block / 2, of: self[i / 128 * 64 + block % 2 * 32 + i % 32])
            let high = self[128 + i / 128 * 32 + i % 32] >> UInt8(2 * block) & 3
            let scale = Float(Int8(bitPattern: self[192 + i / 16]))
            output[i] = d * scale * Float(Int(low | high << 4) - 32)
        }
    }
}

/// The 16 values of IQ4_NL, before scaling: ggml's `kvalues_iq4nl`.
private let unevenLevels: [Float] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
]

/// The low (0) or high (1) nibble of a byte.
private func nibble(_ index: Int, of byte: UInt8) -> UInt8 { index == 0 ? byte & 15 : byte >> 4 }

extension UnsafeRawBufferPointer {
    /// The little-endian f16 at a byte offset, widened exactly. By bits, since Swift's Float16 is not on every platform.
    fileprivate func half(at offset: Int) -> Float {
        let bits = UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
        let sign = UInt32(bits & 0x8000) << 16
        let magnitude = UInt32(bits & 0x7fff) << 13
        if magnitude >= 0x7c00 << 13 { return Float(bitPattern: sign | magnitude | 0x7f80_0000) }
        // The exponent bias differs by 112: an exact multiplication for normal and subnormal values.
        let value = Float(bitPattern: magnitude) * Float(sign: .plus, exponent: 112, significand: 1)
        return Float(bitPattern: value.bitPattern | sign)
    }
}
