/// Chooses the tokens of one sequence from the model's logits.
///
/// Stateless but for the tokens seen: the random number of a position depends on seed and position alone, so a
/// sequence that is preempted and computed again continues with the same tokens.
///
/// Order of operations, as in vLLM: log-probabilities are taken from the raw logits; then repetition penalty, frequency
/// and presence penalties, bias, forbidden tokens; then greedy choice, or temperature, min-p, top-k, top-p, draw.
/// Repetition counts the prompt; presence and frequency count generated tokens only.
///
/// An adjusted logit that f32 cannot hold becomes the largest number of its sign, so that extreme parameters make extreme
/// choices and no failures. A token whose logit is no finite number is never chosen.
package struct Sampler: Sendable {
    package let parameters: SamplingParameters
    private let needsHistory: Bool
    /// All tokens so far, kept only while a penalty needs them and the prompt's length is unknown.
    private var unsorted: [TokenID] = []
    /// Generated tokens among `unsorted`, at its end, once known.
    private let generatedCountAtStart: Int
    private var isSorted = false
    /// Tokens seen, with how often each was generated (0: in the prompt only).
    private var seen: [TokenID: Int] = [:]

    /// - Parameters:
    ///   - parameters: validated.
    ///   - generatedCount: how many of the tokens observed before the first sample were generated (after a preemption).
    package init(parameters: SamplingParameters, generatedCount: Int = 0) {
        self.parameters = parameters
        generatedCountAtStart = generatedCount
        needsHistory = parameters.usesHistory
    }

    /// Notes tokens that go through the model: prompt, and after a preemption generated ones.
    package mutating func observe(_ tokens: [TokenID]) {
        // After the first sample `sample` notes each token itself.
        if needsHistory, !isSorted { unsorted += tokens }
    }

    /// Chooses the next token.
    ///
    /// - Parameters:
    ///   - logits: [vocabularySize], overwritten.
    ///   - position: the new token's position in the sequence.
    ///   - scratch: reused from call to call.
    /// - Returns: the token and, when asked for, its log-probability; nil when no logit is a finite number.
    package mutating func sample(
        _ logits: UnsafeMutableBufferPointer<Float>, position: Int, scratch: inout SamplerScratch
    ) -> (tokenID: TokenID, logprob: TokenLogprob?)? {
        let raw = UnsafeBufferPointer(logits)
        var rawNormaliser = 0.0
        var top: [TopLogprob] = []
        var touched: [(index: Int, logit: Float)] = []
        if let topCount = parameters.logprobs {
            guard let normaliser = Self.logNormaliser(raw) else { return nil }
            rawNormaliser = normaliser
            top = Self.likeliest(topCount, of: raw).map {
                TopLogprob(tokenID: $0, logprob: Self.logprob(ofLogit: raw[Int($0)], normaliser: normaliser))
            }
        }
        adjust(logits, touched: &touched)

        let index: Int?
        if parameters.isGreedy {
            index = LogitMath.argmax(raw)
        } else {
            let uniform = CounterRandom.uniform(seed: parameters.seed ?? 0, position: UInt64(position))
            index = scratch.draw(raw, parameters: parameters, uniform: uniform)
        }
        guard let index else { return nil }
        let tokenID = TokenID(index)
        if needsHistory { seen[tokenID, default: 0] += 1 }
        guard parameters.logprobs != nil else { return (tokenID, nil) }
        let rawLogit = touched.first { $0.index == index }?.logit ?? raw[index]
        let logprob = Self.logprob(ofLogit: rawLogit, normaliser: rawNormaliser)
        return (tokenID, TokenLogprob(tokenID: tokenID, logprob: logprob, top: top))
    }

    // MARK: - Adjustments

    /// Applies penalties, bias and forbidden tokens; notes each touched token's raw logit once.
    private mutating func adjust(
        _ logits: UnsafeMutableBufferPointer<Float>, touched: inout [(index: Int, logit: Float)]
    ) {
        sortHistory()
        let keepsRaw = parameters.logprobs != nil
        for (token, count) in seen {
            let index = Int(token)
            guard index < logits.count else { continue }
            var logit = logits[index]
            if keepsRaw { touched.append((index, logit)) }
            // It stays out of every choice as it is.
            guard logit.isFinite else { continue }
            let repetition = Float(parameters.repetitionPenalty)
            logit = Self.held(logit > 0 ? logit / repetition : logit * repetition)
            if count > 0 {
                logit -= Float(Double(count) * parameters.frequencyPenalty + parameters.presencePenalty)
            }
            logits[index] = Self.held(logit)
        }
        for (token, bias) in parameters.logitBias where Int(token) < logits.count {
            let logit = logits[Int(token)]
            if keepsRaw { touched.append((Int(token), logit)) }
            if logit.isFinite { logits[Int(token)] = Self.held(logit + Float(bias)) }
        }
        for token in parameters.forbiddenTokenIDs where Int(token) < logits.count {
            logits[Int(token)] = -.infinity
        }
    }

    /// The number, or the largest of its sign where it is too large.
    private static func held(_ logit: Float) -> Float {
        min(max(logit, -.greatestFiniteMagnitude), .greatestFiniteMagnitude)
    }

    /// Splits the tokens observed before the first sample into prompt and generated ones.
    private mutating func sortHistory() {
        guard needsHistory, !isSorted else { return }
        isSorted = true
        let promptCount = max(0, unsorted.count - generatedCountAtStart)
        for token in unsorted.prefix(promptCount) { seen[token] = 0 }
        for token in unsorted.dropFirst(promptCount) { seen[token, default: 0] += 1 }
        unsorted = []
    }
}
