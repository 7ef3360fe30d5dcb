import InferenceCore

extension SamplingParameters {
    /// Reads the message as it is: ranges are checked by `validate`, `stop` strings are the head's own business.
    package init(proto: Fathom_Shard_V1_SamplingParameters) {
        self.init(
            maxTokens: Int(proto.maxTokens), temperature: proto.temperature, topK: Int(proto.topK), topP: proto.topP,
            minP: proto.minP, presencePenalty: proto.presencePenalty, frequencyPenalty: proto.frequencyPenalty,
            repetitionPenalty: proto.repetitionPenalty, logitBias: proto.logitBias,
            seed: proto.hasSeed ? proto.seed : nil, stopTokenIDs: Set(proto.stopTokenIds), ignoreEOS: proto.ignoreEos,
            forbiddenTokenIDs: Set(proto.forbiddenTokenIds),
            logprobs: proto.logprobs < 0 ? nil : Int(proto.logprobs),
            promptLogprobs: proto.promptLogprobs < 0 ? nil : Int(proto.promptLogprobs))
    }

    /// The message, every field set, sets in ascending order; `stop` is left empty.
    ///
    /// Call on validated parameters; counts beyond 32 bits are clamped.
    package func proto() -> Fathom_Shard_V1_SamplingParameters {
        var proto = Fathom_Shard_V1_SamplingParameters()
        proto.maxTokens = UInt32(clamping: maxTokens)
        proto.temperature = temperature
        proto.topK = UInt32(clamping: topK)
        proto.topP = topP
        proto.minP = minP
        proto.presencePenalty = presencePenalty
        proto.frequencyPenalty = frequencyPenalty
        proto.repetitionPenalty = repetitionPenalty
        proto.logitBias = logitBias
        if let seed { proto.seed = seed }
        proto.stopTokenIds = stopTokenIDs.sorted()
        proto.ignoreEos = ignoreEOS
        proto.forbiddenTokenIds = forbiddenTokenIDs.sorted()
        proto.logprobs = logprobs.map { Int32(clamping: $0) } ?? -1
        proto.promptLogprobs = promptLogprobs.map { Int32(clamping: $0) } ?? -1
        return proto
    }
}
