/// Randomness without state: a value for each (seed, position), whatever was drawn before.
///
/// That makes sampling reproducible through batching, preemption, and a restart in the middle of a generation.
/// Two rounds of SplitMix64's finaliser over the key; uniform enough for sampling, not for secrets.
package enum CounterRandom {
    /// 64 evenly distributed bits.
    package static func bits(seed: UInt64, position: UInt64) -> UInt64 {
        mix(mix(seed &+ 0x9E37_79B9_7F4A_7C15) ^ mix(position &+ 0xD1B5_4A32_D192_ED03))
    }

    /// A number in 0..<1 with 53 random bits.
    package static func uniform(seed: UInt64, position: UInt64) -> Double {
        Double(bits(seed: seed, position: position) >> 11) * 0x1p-53
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
