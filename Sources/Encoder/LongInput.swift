/// What becomes of an input that is longer than the encoder reads at once. Nothing is ever cut off.
package enum LongInput: Sendable {
    /// ``InputTooLong``, which names the input.
    case refuse
    /// It is read in windows of equal size, and its embedding is the mean of theirs, weighted by their tokens.
    case pool
}

/// An input longer than the encoder reads at once.
package struct InputTooLong: Error, CustomStringConvertible {
    /// Among the inputs of the call, from 0.
    package var index: Int
    /// Start and end marks included, as in `limit`.
    package var tokenCount: Int
    package var limit: Int

    package var description: String { "input \(index) has \(tokenCount) tokens; the encoder reads at most \(limit)" }
}

/// Cuts long inputs into windows and puts their embeddings together.
enum InputWindows {
    /// Consecutive pieces of at most `room` tokens whose sizes differ by one at most; one piece for what fits.
    static func windows(of tokens: [UInt32], room: Int) -> [ArraySlice<UInt32>] {
        let count = max(1, (tokens.count + room - 1) / room)
        return (0..<count).map { tokens[(tokens.count * $0 / count)..<(tokens.count * ($0 + 1) / count)] }
    }

    /// The weighted mean, of unit length.
    ///
    /// - Parameter vectors: at least one, all of one size.
    static func pool(_ vectors: ArraySlice<[Float]>, weights: [Int]) -> [Float] {
        guard let first = vectors.first, vectors.count > 1 else { return vectors.first ?? [] }
        var sum = [Float](repeating: 0, count: first.count)
        for (vector, weight) in zip(vectors, weights) {
            for index in sum.indices { sum[index] += vector[index] * Float(weight) }
        }
        let length = sum.reduce(0) { $0 + $1 * $1 }.squareRoot()
        // Vectors that cancel out to nothing: the first is as good as any.
        return length > 0 ? sum.map { $0 / length } : first
    }
}
