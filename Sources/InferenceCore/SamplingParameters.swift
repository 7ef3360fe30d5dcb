/// How one request's tokens are chosen, and when they end.
///
/// Numbers are what f32 makes of them, because logits are f32. One that f32 rounds to 0 is a 0, and refused only where 0
/// is: `temperature` 1e-300 is greedy, `top_p` 1e-300 keeps the likeliest token, `repetition_penalty` 1e-300 is out of
/// range. Within the ranges no arithmetic of the sampler overflows: see ``Sampler``.
package struct SamplingParameters: Sendable, Equatable {
    /// Most tokens to generate, 0...; 0 only computes the prompt.
    package var maxTokens: Int
    /// 0 is greedy; else 0...100 divides the logits.
    package var temperature: Double
    /// Keep this many likeliest tokens; 0 keeps all.
    package var topK: Int
    /// Keep the likeliest tokens whose probabilities sum to this, 0...1; 0 keeps the likeliest one.
    package var topP: Double
    /// Drop tokens less likely than this share of the likeliest, 0...1.
    package var minP: Double
    /// Subtracted once from the logit of each token generated before, -2...2.
    package var presencePenalty: Double
    /// Subtracted from a token's logit for each time it was generated before, -2...2.
    package var frequencyPenalty: Double
    /// Divides positive and multiplies negative logits of tokens seen before, prompt included; ``minRepetitionPenalty``...10;
    /// 1 is off.
    package var repetitionPenalty: Double
    /// Added to logits, each -100...100, at most `maxListedTokens` entries.
    package var logitBias: [TokenID: Double]
    /// Same seed, same tokens. The head fills it in when absent.
    package var seed: UInt64?
    /// Generation ends when one of these is sampled.
    package var stopTokenIDs: Set<TokenID>
    /// Do not end at the model's end-of-generation tokens.
    package var ignoreEOS: Bool
    /// Tokens that may never be sampled.
    package var forbiddenTokenIDs: Set<TokenID>
    /// nil: none; 0...20: report each sampled token's log-probability and this many of the likeliest.
    package var logprobs: Int?
    /// nil: none; 0...20: the same for each prompt token but the first.
    package var promptLogprobs: Int?

    /// Most alternatives that `logprobs` and `promptLogprobs` may ask for.
    package static let maxLogprobs = 20
    /// Most entries of each of `logitBias`, `stopTokenIDs` and `forbiddenTokenIDs`.
    package static let maxListedTokens = 4_096

    /// The smallest normal number of f32, about 1.2e-38: what is smaller loses its digits there, or is 0.
    package static let minRepetitionPenalty = Double(Float.leastNormalMagnitude)

    /// Defaults: plain sampling from the model's own distribution.
    package init(
        maxTokens: Int = 16, temperature: Double = 1, topK: Int = 0, topP: Double = 1, minP: Double = 0,
        presencePenalty: Double = 0, frequencyPenalty: Double = 0, repetitionPenalty: Double = 1,
        logitBias: [TokenID: Double] = [:], seed: UInt64? = nil, stopTokenIDs: Set<TokenID> = [],
        ignoreEOS: Bool = false, forbiddenTokenIDs: Set<TokenID> = [], logprobs: Int? = nil,
        promptLogprobs: Int? = nil
    ) {
        self.maxTokens = maxTokens
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.presencePenalty = presencePenalty
        self.frequencyPenalty = frequencyPenalty
        self.repetitionPenalty = repetitionPenalty
        self.logitBias = logitBias
        self.seed = seed
        self.stopTokenIDs = stopTokenIDs
        self.ignoreEOS = ignoreEOS
        self.forbiddenTokenIDs = forbiddenTokenIDs
        self.logprobs = logprobs
        self.promptLogprobs = promptLogprobs
    }

    /// Whether the likeliest token is always taken: also at temperatures whose reciprocal f32 cannot hold.
    package var isGreedy: Bool {
        !logitScale.isFinite
    }

    /// What logits are multiplied by before they become weights: 1 / temperature.
    var logitScale: Float {
        Float(1 / temperature)
    }

    /// Whether the choice of a token depends on the tokens before it other than through the model.
    package var usesHistory: Bool {
        repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0
    }

    /// Checks every range stated on the fields. NaN is in no range.
    ///
    /// - Parameter vocabularySize: token ids must be below it.
    /// - Throws: `invalidRequest` naming the first field out of range, with its value and range.
    package func validate(vocabularySize: Int) throws(InferenceError) {
        try require(maxTokens >= 0, "max_tokens is \(maxTokens); expected 0 or more")
        try require((0...100).contains(temperature), "temperature is \(temperature); expected 0...100")
        try require(topK >= 0, "top_k is \(topK); expected 0 (off) or more")
        try require((0...1).contains(topP), "top_p is \(topP); expected 0...1")
        try require((0...1).contains(minP), "min_p is \(minP); expected 0...1")
        try require((-2...2).contains(presencePenalty), "presence_penalty is \(presencePenalty); expected -2...2")
        try require((-2...2).contains(frequencyPenalty), "frequency_penalty is \(frequencyPenalty); expected -2...2")
        try require(
            (Self.minRepetitionPenalty...10).contains(repetitionPenalty),
            "repetition_penalty is \(repetitionPenalty); expected at least 1.2e-38, at most 10")
        try require(
            (0...Self.maxLogprobs).contains(logprobs ?? 0),
            "logprobs is \(logprobs ?? 0); expected 0...\(Self.maxLogprobs)")
        try require(
            (0...Self.maxLogprobs).contains(promptLogprobs ?? 0),
            "prompt_logprobs is \(promptLogprobs ?? 0); expected 0...\(Self.maxLogprobs)")
        try validateTokens(logitBias.keys, count: logitBias.count, "logit_bias", vocabularySize)
        try validateTokens(stopTokenIDs, count: stopTokenIDs.count, "stop_token_ids", vocabularySize)
        try validateTokens(forbiddenTokenIDs, count: forbiddenTokenIDs.count, "forbidden_token_ids", vocabularySize)
        for bias in logitBias.values {
            try require((-100...100).contains(bias), "logit_bias holds \(bias); expected -100...100")
        }
        try require(
            forbiddenTokenIDs.count < vocabularySize, "forbidden_token_ids holds the whole vocabulary; nothing is left")
    }

    private func validateTokens(
        _ tokens: some Swift.Sequence<TokenID>, count: Int, _ field: String, _ vocabularySize: Int
    ) throws(InferenceError) {
        try require(
            count <= Self.maxListedTokens, "\(field) has \(count) entries; expected at most \(Self.maxListedTokens)")
        for token in tokens where Int(token) >= vocabularySize {
            throw InferenceError(
                code: .invalidRequest,
                message: "\(field) holds token id \(token); expected less than \(vocabularySize)")
        }
    }

    private func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(InferenceError) {
        if !condition { throw InferenceError(code: .invalidRequest, message: message()) }
    }
}
