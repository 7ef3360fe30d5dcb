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
/// Cancelling, a deadline or a failure remove a sequence from any state; it is then no longer known. A lost stage is a
/// preemption of all.
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
    /// Tokens that were computed before the step in flight, or before the last one.
    var computedBeforeStep = 0
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
    /// Leading blocks of the table whose content the block manager knows, and the content of the last of them.
    var publishedBlockCount = 0
    var publishedContentID: BlockManager.ContentID = 0
    /// Leading tokens whose KV was found in the cache at the last admission.
    var reusedCount = 0
    /// Prompt tokens whose KV was found in the cache at the first admission; nil before it.
    package internal(set) var cachedPromptCount: Int?
    /// How much to guess.
    var draftLength = DraftLength()
    /// Guesses in the step in flight.
    var draftCount = 0

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
    /// The tokens that were generated: none after a prompt without completion, several after right guesses.
    package var sampled: [SampledToken]
    /// All prompt log-probabilities (one for each prompt token but the first), once, when the prompt is computed.
    package var promptLogprobs: [TokenLogprob]?
    /// Prompt tokens whose KV came from the cache.
    package var cachedPromptTokens: Int
    /// Set when the sequence ended; it is then no longer known to the scheduler.
    package var finishReason: FinishReason?
    /// Set when the sequence failed; it is then no longer known to the scheduler, and nothing else is set.
    package var failure: SequenceFailure?

    package init(
        sequenceID: SequenceID, sampled: [SampledToken] = [], promptLogprobs: [TokenLogprob]? = nil,
        cachedPromptTokens: Int = 0, finishReason: FinishReason? = nil, failure: SequenceFailure? = nil
    ) {
        self.sequenceID = sequenceID
        self.sampled = sampled
        self.promptLogprobs = promptLogprobs
        self.cachedPromptTokens = cachedPromptTokens
        self.finishReason = finishReason
        self.failure = failure
    }
}
