import InferenceCore

/// A reproducible source of random numbers for test programs.
struct SeededRandom: RandomNumberGenerator {
    private let seed: UInt64
    private var position: UInt64 = 0

    init(seed: UInt64) {
        self.seed = seed
    }

    mutating func next() -> UInt64 {
        position += 1
        return CounterRandom.bits(seed: seed, position: position)
    }
}
