extension Sequence {
    /// Whether its prefix may come from the cache: not while log-probabilities of the whole prompt are owed.
    var canReusePrefix: Bool { promptLogprobsDone }

    /// Begins to use cached KV of its first tokens; the blocks are shared already.
    mutating func reuse(_ prefix: BlockManager.Prefix, blockSize: Int) {
        blockTable = prefix.blocks
        computedCount = prefix.blocks.count * blockSize
        reusedCount = computedCount
        publishedBlockCount = prefix.blocks.count
        publishedContentID = prefix.contentID
        if cachedPromptCount == nil { cachedPromptCount = min(computedCount, promptCount) }
    }

    /// Makes the step of the next `tokenCount` tokens and the guesses after them, whose blocks are in the table, and
    /// counts the tokens as computed.
    mutating func beginStep(_ stepID: UInt64, tokenCount: Int, draft: [TokenID] = []) -> SequenceStep {
        let start = computedCount
        let end = start + tokenCount
        precondition(draft.isEmpty || end == tokens.count, "guesses can only follow the last token")
        var step = SequenceStep(
            sequenceID: id, startPosition: start, tokenIDs: tokens[start..<end] + draft, blockTable: blockTable,
            sample: end == tokens.count && sampling.maxTokens > 0, draftCount: draft.count)
        if needsSampling {
            step.sampling = sampling
            step.generatedCount = generatedCount
            if sampling.usesHistory { step.historyTokenIDs = Array(tokens[0..<reusedCount]) }
            needsSampling = false
        }
        // Not done means that nothing was generated yet: all tokens are prompt.
        if !promptLogprobsDone {
            step.promptLogprobs = true
            step.nextTokenID = end < tokens.count ? tokens[end] : nil
        }
        computedBeforeStep = start
        computedCount = end
        draftCount = draft.count
        stepInFlight = stepID
        lastStepID = stepID
        return step
    }

    /// Takes the result of the step in flight.
    ///
    /// - Returns: nil while the prompt is not computed.
    mutating func endStep(_ result: SequenceResult, configuration: SchedulerConfiguration) -> SequenceUpdate? {
        promptLogprobs += result.promptLogprobs
        guard computedCount == tokens.count else { return nil }

        var update = SequenceUpdate(sequenceID: id, cachedPromptTokens: cachedPromptCount ?? 0)
        if !promptLogprobsDone {
            promptLogprobsDone = true
            update.promptLogprobs = promptLogprobs
            promptLogprobs = []
        }
        if state == .running {
            let accepted = max(0, result.sampled.count - 1)
            if draftCount > 0 {
                draftLength.note(drafted: draftCount, accepted: accepted)
            } else {
                draftLength.noteNone()
            }
        }
        state = .running
        // The KV of right guesses is computed: all sampled tokens but the last.
        computedCount += max(0, result.sampled.count - 1)
        if result.sampled.isEmpty { update.finishReason = finishReason(after: nil, configuration) }
        for sampled in result.sampled {
            tokens.append(sampled.tokenID)
            update.sampled.append(sampled)
            update.finishReason = finishReason(after: sampled.tokenID, configuration)
            // Right guesses after the end count for nothing.
            if update.finishReason != nil { break }
        }
        if let reason = update.finishReason { state = .finished(reason) }
        return update
    }

    private func finishReason(after token: TokenID?, _ configuration: SchedulerConfiguration) -> FinishReason? {
        if let token {
            let ends = !sampling.ignoreEOS && configuration.endOfGenerationTokenIDs.contains(token)
            if ends || sampling.stopTokenIDs.contains(token) { return .stop(token) }
        }
        let isFull = tokens.count >= configuration.contextLimit
        return generatedCount >= sampling.maxTokens || isFull ? .length : nil
    }
}

extension SequenceStep {
    /// Log-probabilities the last stage owes for this step: one for each token after the first that is known.
    package var promptLogprobCount: Int {
        guard promptLogprobs else { return 0 }
        return tokenIDs.count - 1 + (nextTokenID == nil ? 0 : 1)
    }
}

extension SchedulerConfiguration {
    /// Checks everything that can be known of a request before it runs.
    ///
    /// - Throws: `invalidRequest`, `contextLengthExceeded`.
    package func validate(promptTokenIDs: [TokenID], sampling: SamplingParameters) throws(InferenceError) {
        guard !promptTokenIDs.isEmpty else {
            throw InferenceError(code: .invalidRequest, message: "the prompt is empty; expected at least one token")
        }
        let longest = sampling.maxTokens > 0 ? contextLimit - 1 : contextLimit
        guard promptTokenIDs.count <= longest else {
            throw InferenceError(
                code: .contextLengthExceeded,
                message: "the prompt has \(promptTokenIDs.count) tokens; the context window holds \(contextLimit)"
                    + (sampling.maxTokens > 0 ? " with at least one for the completion" : ""))
        }
        if let token = promptTokenIDs.first(where: { Int($0) >= vocabularySize }) {
            throw InferenceError(
                code: .invalidRequest,
                message: "the prompt holds token id \(token); expected less than \(vocabularySize)")
        }
        try sampling.validate(vocabularySize: vocabularySize)
    }
}
