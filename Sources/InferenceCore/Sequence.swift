/// Why a sequence ended by itself.
package enum FinishReason: Sendable, Equatable {
    /// This end-of-generation or stop token was sampled.
    case stop(TokenID)
    /// `maxTokens` or the context window was reached.
    case length
}

/// One running token stream of a request.
///
/// ```
///            admit                  last chunk is back            stop token, length
///  waiting ─────────► prefilling ───────────────────► running ───────────────────────► finished
///     ▲                   │                              │
///     └───────────────────┴──────── preempt ─────────────┘        (KV dropped, tokens kept)
/// ```
/// Cancelling, a deadline or a lost stage remove a sequence from any state; it is then no longer known.
package struct Sequence: Sendable {
    /// See the type's drawing.
    package enum State: Sendable, Equatable {
        /// Holds no blocks. Exits: `prefilling` when the scheduler admits it.
        case waiting
        /// Some of its tokens are computed. Exits: `running` after its last chunk, `waiting` by preemption,
        /// `finished` when nothing was to be generated.
        case prefilling
        /// Generates one token a step. Exits: `finished`, or `waiting` by preemption.
        case running
        /// Ended by itself; its blocks are free. No exit.
        case finished(FinishReason)
    }

    package let id: SequenceID
    /// Whose work this is, for fair queueing.
    package let tenant: String
    package let sampling: SamplingParameters
    /// Prompt tokens at the head of `tokens`.
    package let promptCount: Int
    package internal(set) var state: State = .waiting
    /// Prompt, then generated tokens.
    package internal(set) var tokens: [TokenID]
    /// Its KV cache blocks, in order of position.
    package internal(set) var blockTable: [Int32] = []
    /// Leading tokens whose KV is in the cache, or will be after the step in flight.
    package internal(set) var computedCount = 0
    /// The step it takes part in, if any.
    package internal(set) var stepInFlight: UInt64?
    /// The last step it took part in; 0 before the first.
    package internal(set) var lastStepID: UInt64 = 0
    /// Its parameters must travel with its next step.
    var needsSampling = true
    /// To be removed when the step in flight is back.
    var isCancelled = false
    /// Prompt log-probabilities collected so far; handed over once, when complete.
    var promptLogprobs: [TokenLogprob] = []
    /// Whether the prompt log-probabilities were handed over (or never asked for).
    var promptLogprobsDone: Bool

    init(id: SequenceID, tenant: String, promptTokenIDs: [TokenID], sampling: SamplingParameters) {
        self.id = id
        self.tenant = tenant
        self.sampling = sampling
        promptCount = promptTokenIDs.count
        tokens = promptTokenIDs
        promptLogprobsDone = sampling.promptLogprobs == nil
    }

    /// Tokens generated so far.
    package var generatedCount: Int { tokens.count - promptCount }

    /// Tokens whose KV still has to be computed.
    var uncomputedCount: Int { tokens.count - computedCount }
}

/// What one step did to one sequence.
package struct SequenceUpdate: Sendable, Equatable {
    package var sequenceID: SequenceID
    /// The token that was generated, if one was.
    package var tokenID: TokenID?
    package var logprob: TokenLogprob?
    /// All prompt log-probabilities (one for each prompt token but the first), once, when the prompt is computed.
    package var promptLogprobs: [TokenLogprob]?
    /// Set when the sequence ended; it is then no longer known to the scheduler.
    package var finishReason: FinishReason?

    package init(
        sequenceID: SequenceID, tokenID: TokenID? = nil, logprob: TokenLogprob? = nil,
        promptLogprobs: [TokenLogprob]? = nil, finishReason: FinishReason? = nil
    ) {
        self.sequenceID = sequenceID
        self.tokenID = tokenID
        self.logprob = logprob
        self.promptLogprobs = promptLogprobs
        self.finishReason = finishReason
    }
}
