extension Sequence {
    /// Makes the step of the next `tokenCount` tokens, whose blocks are in the table, and counts them as computed.
    mutating func beginStep(_ stepID: UInt64, tokenCount: Int) -> SequenceStep {
        let start = computedCount
        let end = start + tokenCount
        var step = SequenceStep(
            sequenceID: id, startPosition: start, tokenIDs: Array(tokens[start..<end]), blockTable: blockTable,
            sample: end == tokens.count && sampling.maxTokens > 0)
        if needsSampling {
            step.sampling = sampling
            step.generatedCount = generatedCount
            needsSampling = false
        }
        // Not done means that nothing was generated yet: all tokens are prompt.
        if !promptLogprobsDone {
            step.promptLogprobs = true
            step.nextTokenID = end < tokens.count ? tokens[end] : nil
        }
        computedCount = end
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

        var update = SequenceUpdate(sequenceID: id, tokenID: result.tokenID, logprob: result.logprob)
        if !promptLogprobsDone {
            promptLogprobsDone = true
            update.promptLogprobs = promptLogprobs
            promptLogprobs = []
        }
        state = .running
        if let token = result.tokenID { tokens.append(token) }
        update.finishReason = finishReason(after: result.tokenID, configuration)
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
