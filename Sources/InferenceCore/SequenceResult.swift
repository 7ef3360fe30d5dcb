/// One of the likeliest tokens at a position.
package struct TopLogprob: Sendable, Equatable {
    package var tokenID: TokenID
    /// Natural logarithm of the model's probability.
    package var logprob: Float

    package init(tokenID: TokenID, logprob: Float) {
        self.tokenID = tokenID
        self.logprob = logprob
    }
}

/// The log-probability of a token at its position, under the model's own distribution.
///
/// Computed from the raw logits, before penalties, biases and temperature, as OpenAI and vLLM report them.
package struct TokenLogprob: Sendable, Equatable {
    package var tokenID: TokenID
    /// Natural logarithm of the model's probability.
    package var logprob: Float
    /// The likeliest tokens, likeliest first, ties by the lower id; as many as were asked for.
    package var top: [TopLogprob]

    package init(tokenID: TokenID, logprob: Float, top: [TopLogprob] = []) {
        self.tokenID = tokenID
        self.logprob = logprob
        self.top = top
    }
}

/// A token that the last stage chose.
package struct SampledToken: Sendable, Equatable {
    package var tokenID: TokenID
    /// Present when `SamplingParameters.logprobs` asked for it.
    package var logprob: TokenLogprob?

    package init(tokenID: TokenID, logprob: TokenLogprob? = nil) {
        self.tokenID = tokenID
        self.logprob = logprob
    }
}

/// Why the last stage cannot go on with one sequence; the others of its step are none the worse.
package enum SequenceFailure: Sendable, Equatable {
    /// The hidden state of this position is no finite number, or every logit after the position before it: broken weights,
    /// or a token whose embedding is broken. What the KV cache holds from there on is worth nothing.
    case notFinite(position: Int)
    /// The stage does not know the sequence, or does not take its parameters.
    case refused
}

/// What the last stage answers for one sequence of a micro-batch.
package struct SequenceResult: Sendable, Equatable {
    package var sequenceID: SequenceID
    /// Empty when the step did not ask to sample; else one token for each right guess and one more.
    package var sampled: [SampledToken]
    /// For positions `startPosition + 1 ...` of the chunk, as far as the tokens were known.
    package var promptLogprobs: [TokenLogprob]
    /// Set when the sequence must end; nothing else counts then.
    package var failure: SequenceFailure?

    package init(
        sequenceID: SequenceID, sampled: [SampledToken] = [], promptLogprobs: [TokenLogprob] = [],
        failure: SequenceFailure? = nil
    ) {
        self.sequenceID = sequenceID
        self.sampled = sampled
        self.promptLogprobs = promptLogprobs
        self.failure = failure
    }
}
