import InferenceCore

/// Start-time settings of an ``InferenceEngine``.
package struct EngineConfiguration: Sendable {
    /// Most tokens of a micro-batch; the bounds of the stage and of the link apply too.
    package var maxBatchedTokens: Int
    /// Most sequences that hold KV cache at once.
    package var maxRunningSequences: Int
    /// Most sequences that wait.
    package var maxWaitingSequences: Int
    /// Pipeline stages of the replica group; more than 1 needs a link.
    package var stageCount: Int
    /// Tokens that end a generation unless the request ignores them.
    package var endOfGenerationTokenIDs: Set<TokenID>
    /// The idle engine generates a token through all stages this often.
    package var heartbeatInterval: Duration
    /// A step without an answer for this long ends the epoch.
    package var stepTimeout: Duration
    /// How long sequences wait for a lost link to come back; zero: they fail at once.
    package var relinkTimeout: Duration
    /// What the heartbeat's one-token prompt is, unless the model computes nothing from it.
    package var heartbeatTokenID: TokenID
    /// Whether requests of one tenant share the KV of common prefixes.
    package var reusesPrefixes: Bool
    /// Guesses fill a micro-batch's decodes up to this many tokens; 0 turns speculative decoding off.
    package var maxDraftTokens: Int
    /// How long a prompt's chunk may take, as a multiple of a step that only decodes, while sequences decode; nil: as
    /// long as it takes.
    package var prefillShare: Double?

    /// Time for a stage to start again and read its layers; a caller's deadline may be earlier.
    package static let defaultRelinkTimeout = Duration.seconds(30)
    /// A chunk at most doubles a running stream's gap, and a bit.
    package static let defaultPrefillShare = 1.25
    /// Guesses a step carries for nearly nothing: up to 8 tokens share each load of the weights.
    package static let defaultMaxDraftTokens = 8

    package init(
        maxBatchedTokens: Int = 512, maxRunningSequences: Int = 64, maxWaitingSequences: Int = 256,
        stageCount: Int = 1, endOfGenerationTokenIDs: Set<TokenID> = [],
        heartbeatInterval: Duration = .milliseconds(500), stepTimeout: Duration = .seconds(10),
        relinkTimeout: Duration = EngineConfiguration.defaultRelinkTimeout,
        heartbeatTokenID: TokenID = 0, reusesPrefixes: Bool = true,
        maxDraftTokens: Int = EngineConfiguration.defaultMaxDraftTokens,
        prefillShare: Double? = EngineConfiguration.defaultPrefillShare
    ) {
        self.maxBatchedTokens = maxBatchedTokens
        self.maxRunningSequences = maxRunningSequences
        self.maxWaitingSequences = maxWaitingSequences
        self.stageCount = stageCount
        self.endOfGenerationTokenIDs = endOfGenerationTokenIDs
        self.heartbeatInterval = heartbeatInterval
        self.stepTimeout = stepTimeout
        self.relinkTimeout = relinkTimeout
        self.heartbeatTokenID = heartbeatTokenID
        self.reusesPrefixes = reusesPrefixes
        self.maxDraftTokens = maxDraftTokens
        self.prefillShare = prefillShare
    }
}

/// One request as the engine takes it: tokens in, tokens out.
package struct EngineRequest: Sendable {
    /// Whose share of the computation it uses.
    package var tenant: String
    package var promptTokenIDs: [TokenID]
    package var sampling: SamplingParameters
    /// The request fails with `deadlinePassed` at this time.
    package var deadline: ContinuousClock.Instant?

    package init(
        tenant: String = "", promptTokenIDs: [TokenID], sampling: SamplingParameters,
        deadline: ContinuousClock.Instant? = nil
    ) {
        self.tenant = tenant
        self.promptTokenIDs = promptTokenIDs
        self.sampling = sampling
        self.deadline = deadline
    }
}

/// What happens to a request, in this order: one `started`, any number of `token`, one `finished`; or `failed` at any
/// point, as the last event.
package enum EngineEvent: Sendable {
    /// The prompt is computed: its log-probabilities (all tokens but the first) when they were asked for, and how many
    /// of its tokens came from the tenant's prefix cache.
    case started(promptLogprobs: [TokenLogprob]?, cachedTokens: Int)
    case token(TokenID, TokenLogprob?)
    case finished(FinishReason)
    case failed(InferenceError)
}

/// A request that was accepted.
package struct EngineGeneration: Sendable {
    package let id: SequenceID
    /// At most `maxTokens + 2` events. Dropping the iterator cancels the request.
    package let events: AsyncStream<EngineEvent>
}

/// How an engine is doing; a snapshot taken once a step.
package struct EngineStatus: Sendable {
    /// Whether all stages are linked.
    package var isLinked = false
    /// Whether the model computes no finite number, whatever it is asked.
    package var isBroken = false
    /// When a token, of a prompt or generated, last went through all stages; nil: never yet with finite numbers.
    package var lastTokenTime: ContinuousClock.Instant?
    package var runningSequences = 0
    package var waitingSequences = 0
    package var kvBlocksUsed = 0
    package var kvBlocksTotal = 0
    package var preemptions = 0
    /// Sequences that ended because their numbers were not finite.
    package var notFiniteSequences = 0
    /// Sequences that were computed again because a link was lost.
    package var requeuedSequences = 0
    /// KV cache blocks whose content is known, held or not.
    package var kvBlocksCached = 0
    /// Tokens of admitted sequences that could have come from the prefix cache, and those that did.
    package var prefixQueryTokens = 0
    package var prefixHitTokens = 0
    /// Tokens guessed, and those of them that were right.
    package var draftedTokens = 0
    package var acceptedTokens = 0
    /// Since the start; heartbeats are not counted.
    package var generatedTokens = 0
    package var promptTokens = 0
    package var steps = 0
    /// Time this stage computed.
    package var computeTime: Duration = .zero
    /// Time the later stages computed.
    package var laterComputeTime: Duration = .zero

    package init() {}

    /// Milliseconds since a token last went through all stages; nil: never.
    package func millisecondsSinceLastToken(now: ContinuousClock.Instant = .now) -> UInt64? {
        lastTokenTime.map { UInt64(max(0, $0.duration(to: now) / .milliseconds(1))) }
    }
}

/// What one step took, for metrics.
package struct StepMetrics: Sendable {
    /// From schedule to results applied, all stages.
    package var duration: Duration
    /// Time this stage computed.
    package var computeDuration: Duration
    /// Rows computed.
    package var tokens: Int
    package var sequences: Int

    package init(duration: Duration, computeDuration: Duration, tokens: Int, sequences: Int) {
        self.duration = duration
        self.computeDuration = computeDuration
        self.tokens = tokens
        self.sequences = sequences
    }
}
