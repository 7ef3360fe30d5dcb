/// Superblocks of 256 values: Q4_K, Q5_K and Q6_K as ggml's reference writes them.
enum Superblocks {
    /// 8 blocks of 32 with 6-bit scales and minimums; 4-bit quants.
    static func q4_K(_ x: UnsafePointer<Float>, _ y: UnsafeMutableRawPointer) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { quants in
            let q = quants.baseAddress.unsafelyUnwrapped
            scaleAndQuantize(x, y, q, levels: 15, from: -1, steps: 20)
            for i in 0..<128 {
                let at = i / 32 * 64 + i % 32
                y.storeBytes(of: q[at] | q[at + 32] << 4, toByteOffset: 16 + i, as: UInt8.self)
            }
        }
    }

    /// As Q4_K with a fifth bit: bit `b` of 32 bytes is block `b`'s.
    static func q5_K(_ x: UnsafePointer<Float>, _ y: UnsafeMutableRawPointer) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { quants in
            let q = quants.baseAddress.unsafelyUnwrapped
            scaleAndQuantize(x, y, q, levels: 31, from: -0.5, steps: 15)
            for i in 0..<32 {
                var high: UInt8 = 0
                for block in 0..<8 { high |= (q[32 * block + i] >> 4) << UInt8(block) }
                y.storeBytes(of: high, toByteOffset: 16 + i, as: UInt8.self)
            }
            for i in 0..<128 {
                let at = i / 32 * 64 + i % 32
                y.storeBytes(of: q[at] & 15 | (q[at + 32] & 15) << 4, toByteOffset: 48 + i, as: UInt8.self)
            }
        }
    }

    /// 16 blocks of 16 with int8 scales; 6-bit quants.
    static func q6_K(_ x: UnsafePointer<Float>, _ y: UnsafeMutableRawPointer) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { quants in
            let q = quants.baseAddress.unsafelyUnwrapped
            withUnsafeTemporaryAllocation(of: Float.self, capacity: 16) { scales in
                var extreme: Float = 0
                for block in 0..<16 {
                    scales[block] = ScaleSearch.symmetric(x + 16 * block, count: 16, half: 32, q + 16 * block)
                    if abs(scales[block]) > abs(extreme) { extreme = scales[block] }
                }
                guard abs(extreme) >= ScaleSearch.tiny else {
                    y.initializeMemory(as: UInt8.self, repeating: 0, count: 210)
                    return
                }
                let inverse = -128 / extreme
                let bits = HalfFloat.bits(1 / inverse)
                TensorQuantizer.store(bits, at: 208, in: y)
                for block in 0..<16 {
                    let scale = Int8(truncatingIfNeeded: min(127, nearest(inverse * scales[block])))
                    y.storeBytes(of: scale, toByteOffset: 192 + block, as: Int8.self)
                    let d = HalfFloat.value(bits) * Float(scale)
                    if d == 0 { continue }
                    for i in 16 * block..<16 * block + 16 {
                        q[i] = UInt8(truncatingIfNeeded: max(-32, min(31, nearest(x[i] / d))) + 32)
                    }
                }
                packSixBits(q, y)
            }
        }
    }

    private static func packSixBits(_ q: UnsafePointer<UInt8>, _ y: UnsafeMutableRawPointer) {
        for half in 0..<2 {
            for i in 0..<32 {
                let at = 128 * half + i
                let parts = (q[at], q[at + 32], q[at + 64], q[at + 96])
                y.storeBytes(of: parts.0 & 15 | (parts.2 & 15) << 4, toByteOffset: 64 * half + i, as: UInt8.self)
                y.storeBytes(of: parts.1 & 15 | (parts.3 & 15) << 4, toByteOffset: 64 * half + 32 + i, as: UInt8.self)
                let high = parts.0 >> 4 | (parts.1 >> 4) << 2 | (parts.2 >> 4) << 4 | (parts.3 >> 4) << 6
                y.storeBytes(of: high, toByteOffset: 128 + 32 * half + i, as: UInt8.self)
            }
        }
    }

    /// Writes d, the minimums' d and the 12 bytes of scales of Q4_K and Q5_K, and leaves the quants in `q`.
    private static func scaleAndQuantize(
        _ x: UnsafePointer<Float>, _ y: UnsafeMutableRawPointer, _ q: UnsafeMutablePointer<UInt8>, levels: Int,
        from: Float, steps: Int
    ) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 16) { fits in
            var largestScale: Float = 0
            var largestMinimum: Float = 0
            for block in 0..<8 {
                let fit = ScaleSearch.withMinimum(
                    x + 32 * block, levels: levels, from: from, steps: steps, q + 32 * block)
                (fits[block], fits[8 + block]) = (fit.scale, fit.minimum)
                if fit.scale > largestScale { largestScale = fit.scale }
                if fit.minimum > largestMinimum { largestMinimum = fit.minimum }
            }
            let inverseScale = largestScale > 0 ? 63 / largestScale : 0
            let inverseMinimum = largestMinimum > 0 ? 63 / largestMinimum : 0
            let dBits = HalfFloat.bits(largestScale / 63)
            let mBits = HalfFloat.bits(largestMinimum / 63)
            TensorQuantizer.store(dBits, at: 0, in: y)
            TensorQuantizer.store(mBits, at: 2, in: y)
            let packed = (y + 4).initializeMemory(as: UInt8.self, repeating: 0, count: 12)
            for block in 0..<8 {
                let scale = UInt8(truncatingIfNeeded: min(63, nearest(inverseScale * fits[block])))
                let minimum = UInt8(truncatingIfNeeded: min(63, nearest(inverseMinimum * fits[8 + block])))
                packSixBitPair(scale, minimum, block: block, packed)
                let d = HalfFloat.value(dBits) * Float(scale)
                if d == 0 { continue }
                let m = HalfFloat.value(mBits) * Float(minimum)
                for i in 32 * block..<32 * block + 32 {
                    q[i] = UInt8(truncatingIfNeeded: max(0, min(levels, nearest((x[i] + m) / d))))
                }
            }
        }
    }

    /// The first four blocks have six bits of each in one byte, the others four there and two atop of the first four's.
    private static func packSixBitPair(
        _ scale: UInt8, _ minimum: UInt8, block b: Int, _ packed: UnsafeMutablePointer<UInt8>
    ) {
        if b < 4 {
            packed[b] |= scale
            packed[b + 4] |= minimum
        } else {
            packed[b + 4] = scale & 15 | (minimum & 15) << 4
            packed[b - 4] |= (scale >> 4) << 6
            packed[b] |= (minimum >> 4) << 6
        }
    }
}

/// Rounds half to even, as ggml does by adding 1.5 * 2^23.
func nearest(_ value: Float) -> Int { integer(value.rounded(.toNearestOrEven)) }

/// The searches for the scale with the least weighted squared error.
enum ScaleSearch {
    /// Blocks whose values are all smaller than this are zero.
    static let tiny: Float = 1e-15

    /// ggml's `make_qx_quants` with weights x²: `x ≈ scale * (q - half)`; tries 19 scales around the one that makes the
    /// extreme value exact.
    static func symmetric(
        _ x: UnsafePointer<Float>, count: Int, half: Int, _ q: UnsafeMutablePointer<UInt8>
    ) -> Float {
        var largest: Float = 0
        var extreme: Float = 0
        for i in 0..<count where abs(x[i]) > largest {
            largest = abs(x[i])
            extreme = x[i]
        }
        guard largest >= tiny else {
            for i in 0..<count { q[i] = 0 }
            return 0
        }
        func level(_ i: Int, _ inverse: Float) -> Int { max(-half, min(half - 1, nearest(inverse * x[i]))) }
        func sums(_ inverse: Float) -> (xl: Float, ll: Float) {
            var xl: Float = 0
            var ll: Float = 0
            for i in 0..<count {
                let l = Float(level(i, inverse))
                let weight = x[i] * x[i]
                xl += weight * x[i] * l
                ll += weight * l * l
            }
            return (xl, ll)
        }
        func keep(_ inverse: Float) { for i in 0..<count { q[i] = UInt8(level(i, inverse) + half) } }

        let first = -Float(half) / extreme
        let start = sums(first)
        keep(first)
        var scale = start.ll == 0 ? 0 : start.xl / start.ll
        var best = scale * start.xl
        for step in -9...9 where step != 0 {
            let inverse = -(Float(half) + 0.1 * Float(step)) / extreme
            let sum = sums(inverse)
            if sum.ll > 0, sum.xl * sum.xl > best * sum.ll {
                keep(inverse)
                scale = sum.xl / sum.ll
                best = scale * sum.xl
            }
        }
        return scale
    }

    /// ggml's `make_qkx2_quants` over 32 values with weights `rms + |x|`: `x ≈ scale * q - minimum`, minimum not
    /// negative; each step tries another inverse scale from the best minimum so far, then solves for scale and minimum.
    static func withMinimum(
        _ x: UnsafePointer<Float>, levels: Int, from: Float, steps: Int, _ q: UnsafeMutablePointer<UInt8>
    ) -> (scale: Float, minimum: Float) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 64) { scratch in
            let weights = UnsafeMutableBufferPointer(rebasing: scratch[0..<32])
            let trial = UnsafeMutableBufferPointer(rebasing: scratch[32..<64])
            var squares: Float = 0
            for i in 0..<32 { squares += x[i] * x[i] }
            let rms = (squares / 32).squareRoot()
            for i in 0..<32 { weights[i] = rms + abs(x[i]) }

            var low = x[0]
            var high = x[0]
            var sumW = weights[0]
            var sumX = sumW * x[0]
            for i in 1..<32 {
                if x[i] < low { low = x[i] }
                if x[i] > high { high = x[i] }
                sumW += weights[i]
                sumX += weights[i] * x[i]
            }
            if low > 0 { low = 0 }
            guard high != low else {
                for i in 0..<32 { q[i] = 0 }
                return (0, -low)
            }
            func levelsFor(_ inverse: Float) {
                for i in 0..<32 { trial[i] = Float(max(0, min(levels, nearest(inverse * (x[i] - low))))) }
            }
            func error(_ scale: Float, _ minimum: Float) -> Float {
                var sum: Float = 0
                for i in 0..<32 {
                    let difference = scale * trial[i] + minimum - x[i]
                    sum += weights[i] * (difference * difference)
                }
                return sum
            }
            func keep() { for i in 0..<32 { q[i] = UInt8(trial[i]) } }

            let first = Float(levels) / (high - low)
            var scale = 1 / first
            levelsFor(first)
            keep()
            var best = error(scale, low)
            for step in 0...steps {
                levelsFor((from + 0.1 * Float(step) + Float(levels)) / (high - low))
                var sumL: Float = 0
                var sumLL: Float = 0
                var sumXL: Float = 0
                for i in 0..<32 {
                    sumL += weights[i] * trial[i]
                    sumLL += weights[i] * trial[i] * trial[i]
                    sumXL += weights[i] * trial[i] * x[i]
                }
                let determinant = sumW * sumLL - sumL * sumL
                guard determinant > 0 else { continue }
                var newScale = (sumW * sumXL - sumX * sumL) / determinant
                var newLow = (sumLL * sumX - sumL * sumXL) / determinant
                if newLow > 0 {
                    newLow = 0
                    newScale = sumXL / sumLL
                }
                let new = error(newScale, newLow)
                if new < best {
                    keep()
                    (best, scale, low) = (new, newScale, newLow)
                }
            }
            return (scale, -low)
        }
    }
}
