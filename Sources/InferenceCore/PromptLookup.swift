/// Guesses what comes next from what was said before: speculative decoding without a draft model.
///
/// The end of the sequence is looked up in the sequence itself; what followed there is the draft (prompt lookup decoding,
/// Saxena 2023; the n-gram mode of vLLM). Answers that quote their sources repeat long runs of their prompt.
enum PromptLookup {
    /// Tokens at the end that must have occurred before.
    static let minMatch = 2
    /// A match this long is good enough to stop looking.
    private static let maxMatch = 8

    /// What followed the longest earlier occurrence of the sequence's end, the most recent of equal ones.
    ///
    /// One pass backwards over the tokens: some microseconds for a long context.
    ///
    /// - Returns: `maxCount` tokens, or none when the end is new.
    static func draft(after tokens: [TokenID], maxCount: Int) -> [TokenID] {
        guard maxCount > 0, tokens.count > minMatch else { return [] }
        return tokens.withUnsafeBufferPointer { tokens in
            let last = tokens.count - 1
            var best = (length: minMatch - 1, end: 0)
            for end in stride(from: last - 1, through: minMatch - 1, by: -1) where tokens[end] == tokens[last] {
                var length = 1
                while length < maxMatch, length <= end, tokens[end - length] == tokens[last - length] { length += 1 }
                if length > best.length { best = (length, end) }
                if length == maxMatch { break }
            }
            guard best.length >= minMatch else { return [] }
            // Past the end of the tokens the draft goes on with itself: a repetition repeats.
            let period = last - best.end
            return (0..<maxCount).map { tokens[best.end + 1 + $0 % period] }
        }
    }
}

/// How many tokens are worth guessing for one sequence, learnt from how its guesses did.
struct DraftLength: Sendable, Equatable {
    /// Longest draft.
    static let maximum = 12
    private static let initial = 3
    /// Steps without drafts after a run of wrong ones; doubles each time up to the maximum.
    private static let pauses = 8...128

    private var length = initial
    private var pause = pauses.lowerBound
    private var stepsToPause = 0

    /// The most to guess in the next step.
    var limit: Int { stepsToPause > 0 ? 0 : length }

    /// Notes a decode without a draft.
    mutating func noteNone() {
        if stepsToPause > 0 { stepsToPause -= 1 }
    }

    /// Notes how a draft did.
    mutating func note(drafted: Int, accepted: Int) {
        if accepted == drafted {
            length = min(length * 2, Self.maximum)
            pause = Self.pauses.lowerBound
        } else if accepted > 0 {
            length = min(accepted + 1, Self.maximum)
        } else if length > 1 {
            length /= 2
        } else {
            stepsToPause = pause
            pause = min(pause * 2, Self.pauses.upperBound)
        }
    }
}
