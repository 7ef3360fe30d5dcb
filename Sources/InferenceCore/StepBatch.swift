/// The tokens of one sequence in a micro-batch.
package struct SequenceStep: Sendable, Equatable {
    /// Whose tokens these are.
    package var sequenceID: SequenceID
    /// Position of the first token of `tokenIDs` in the sequence; KV of all positions before it is in the cache.
    package var startPosition: Int
    /// The tokens to run, in order: one in a decode, a chunk in a prefill. Never empty.
    package var tokenIDs: [TokenID]
    /// KV cache blocks of the whole sequence in order; covers position `startPosition + tokenIDs.count - 1`.
    package var blockTable: [Int32]
    /// Sample after the last token (decode, or the last chunk of a prefill).
    package var sample: Bool
    /// The last `draftCount` tokens are guesses. The last stage samples after the token before them, and after each of
    /// them as long as what it sampled is what was guessed; a wrong guess and all after it count for nothing.
    package var draftCount: Int
    /// Present in the first step of a sequence and again after a preemption.
    package var sampling: SamplingParameters?
    /// Report log-probabilities of the tokens at `startPosition + 1 ...` as far as known.
    package var promptLogprobs: Bool
    /// The prompt token that follows this chunk; needed for prompt log-probabilities across chunks.
    package var nextTokenID: TokenID?
    /// On the first step after a preemption: how many of the tokens to come were generated, not prompt.
    package var generatedCount: Int
    /// The tokens before `startPosition` when their KV came from the prefix cache and the sampler has to know them.
    package var historyTokenIDs: [TokenID]

    package init(
        sequenceID: SequenceID, startPosition: Int, tokenIDs: [TokenID], blockTable: [Int32], sample: Bool,
        draftCount: Int = 0, sampling: SamplingParameters? = nil, promptLogprobs: Bool = false,
        nextTokenID: TokenID? = nil, generatedCount: Int = 0, historyTokenIDs: [TokenID] = []
    ) {
        self.sequenceID = sequenceID
        self.startPosition = startPosition
        self.tokenIDs = tokenIDs
        self.blockTable = blockTable
        self.sample = sample
        self.draftCount = draftCount
        self.sampling = sampling
        self.promptLogprobs = promptLogprobs
        self.nextTokenID = nextTokenID
        self.generatedCount = generatedCount
        self.historyTokenIDs = historyTokenIDs
    }

    /// One known token, and guesses.
    package var isDecode: Bool { tokenIDs.count - draftCount == 1 && startPosition > 0 }

    /// The guesses among `tokenIDs`.
    package var draftTokenIDs: ArraySlice<TokenID> { tokenIDs.suffix(draftCount) }
}

/// One micro-batch: what every pipeline stage runs in one go, the stages one after another.
package struct StepBatch: Sendable, Equatable {
    /// Increasing within one epoch of a pipeline.
    package var stepID: UInt64
    /// The sequences, each at most once; rows of the hidden states are their tokens in this order.
    package var sequences: [SequenceStep]
    /// Sequences that ended since the last step; sampler state is dropped.
    package var released: [SequenceID]

    package init(stepID: UInt64, sequences: [SequenceStep], released: [SequenceID] = []) {
        self.stepID = stepID
        self.sequences = sequences
        self.released = released
    }

    /// Rows of the hidden states: tokens of all sequences together.
    package var tokenCount: Int {
        sequences.reduce(0) { $0 + $1.tokenIDs.count }
    }

    /// Rows that are prompt, or generated tokens computed again: all but those of decodes.
    package var prefillTokenCount: Int {
        sequences.reduce(0) { $0 + ($1.isDecode ? 0 : $1.tokenIDs.count) }
    }
}
