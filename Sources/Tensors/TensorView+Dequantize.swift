extension TensorView {
    /// Whether rows of this element type can be dequantised.
    package var canDequantize: Bool {
        switch elementType {
        case .f32, .f16, .bf16, .q4_0, .q4_1, .q8_0, .q6_K: true
        default: false
        }
    }

    /// Writes row `row` as `columns` f32 values: the scalar reference that faster code is held to.
    /// - Throws: `outOfRange`; `unsupportedType` for types other than F32, F16, BF16, Q4_0, Q4_1, Q8_0 and Q6_K.
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
        case .q4_0, .q4_1, .q8_0, .q6_K:
            for block in 0..<columns / elementType.blockSize {
                let bytes = UnsafeRawBufferPointer(
                    rebasing: source[block * elementType.bytesPerBlock..<(block + 1) * elementType.bytesPerBlock])
                dequantizeBlock(bytes, into: output + block * elementType.blockSize)
            }
        default:
            throw TensorError(
                code: .unsupportedType, message: "tensor \(name): \(elementType.name) cannot be dequantised")
        }
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
        case .q4_0:  // f16 d, 16 nibble pairs (i, i + 16)
            let d = block.half(at: 0)
            for i in 0..<16 {
                output[i] = Float(Int(block[2 + i] & 15) - 8) * d
                output[i + 16] = Float(Int(block[2 + i] >> 4) - 8) * d
            }
        case .q4_1:  // f16 d, f16 m, 16 nibble pairs
            let d = block.half(at: 0)
            let m = block.half(at: 2)
            for i in 0..<16 {
                output[i] = Float(block[4 + i] & 15) * d + m
                output[i + 16] = Float(block[4 + i] >> 4) * d + m
            }
        case .q8_0:  // f16 d, 32 int8
            let d = block.half(at: 0)
            for i in 0..<32 { output[i] = Float(Int8(bitPattern: block[2 + i])) * d }
        case .q6_K:  // 128 bytes of low nibbles, 64 of high pairs, 16 int8 scales, f16 d
            let d = block.half(at: 208)
            for i in 0..<256 {
                let half = i / 128
                let quarter = i % 128 / 32
                let lane = i % 32
                let low = block[half * 64 + (quarter & 1) * 32 + lane]
                let nibble = quarter < 2 ? low & 15 : low >> 4
                let high = (block[128 + half * 32 + lane] >> UInt8(2 * quarter)) & 3
                let scale = Float(Int8(bitPattern: block[192 + i / 16]))
                output[i] = d * scale * Float(Int(nibble | high << 4) - 32)
            }
        default:
            break
        }
    }
}

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
