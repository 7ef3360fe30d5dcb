import WireProtocols

/// What completions and chat completions share: how to sample, how many choices, how to answer.
package struct GenerationParameters: Sendable, Equatable {
    /// Most choices for each prompt.
    package static let maximumChoiceCount = 8
    /// Most stop strings.
    package static let maximumStopCount = 16
    /// Longest stop string, in bytes.
    package static let maximumStopLength = 1_024
    /// Most alternatives for each token.
    package static let maximumLogprobs = 20
    /// Most entries of `logit_bias` and `stop_token_ids`.
    package static let maximumListedTokens = 4_096

    /// The model asked for; nil when the request names none.
    package var model: String?
    /// `n`, 1...8.
    package var choiceCount = 1
    /// nil: as many as the context holds.
    package var maximumTokens: Int?
    /// Everything but `max_tokens`, `logprobs` and `prompt_logprobs`.
    package var sampling = Fathom_Shard_V1_SamplingParameters()
    /// -1: none; 0...20.
    package var logprobs = -1
    package var streams = false
    /// `stream_options.include_usage`.
    package var includesUsage = false
    /// vLLM's `return_tokens_as_token_ids`: tokens appear as "token_id:N".
    package var returnsTokenIDs = false

    /// Whether the same request must give the same answer.
    package var isDeterministic: Bool { sampling.temperature == 0 || sampling.hasSeed }

    /// Reads the shared members of a body.
    ///
    /// - Throws: 400 naming the member.
    package init(_ fields: JSONFields) throws(APIError) {
        model = try fields.string("model")
        choiceCount = try fields.integer("n", in: 1...Self.maximumChoiceCount) ?? 1
        streams = try fields.bool("stream") ?? false
        if let options = try fields.object("stream_options") {
            guard streams else {
                throw .invalid("'stream_options' is only allowed when 'stream' is true.", parameter: "stream_options")
            }
            includesUsage = try options.bool("include_usage") ?? false
        }
        returnsTokenIDs = try fields.bool("return_tokens_as_token_ids") ?? false
        try readDistribution(fields)
        try readEnd(fields)
        if let format = try fields.object("response_format") {
            let type = try format.requiredString("type")
            guard type == "text" else {
                throw .invalid(
                    "'response_format.type' must be 'text': structured output is not supported yet.",
                    parameter: "response_format.type", code: "unsupported_value")
            }
        }
    }

    private mutating func readDistribution(_ fields: JSONFields) throws(APIError) {
        sampling.temperature = try fields.number("temperature", in: 0...2) ?? 1
        sampling.topP = try fields.number("top_p", in: 0...1) ?? 1
        if sampling.topP == 0 {
            // OpenAI allows it: no probability is left but the likeliest token's.
            sampling.topP = 1
            sampling.temperature = 0
        }
        // vLLM's clients write -1 for "off".
        sampling.topK = UInt32(max(0, try fields.integer("top_k", in: -1...1_000_000) ?? 0))
        sampling.minP = try fields.number("min_p", in: 0...1) ?? 0
        sampling.presencePenalty = try fields.number("presence_penalty", in: -2...2) ?? 0
        sampling.frequencyPenalty = try fields.number("frequency_penalty", in: -2...2) ?? 0
        sampling.repetitionPenalty = try fields.number("repetition_penalty", in: 0...10) ?? 1
        // Below the smallest normal number of f32, which is what logits are divided in, it would be another number, or 0.
        guard sampling.repetitionPenalty >= Double(Float.leastNormalMagnitude) else {
            throw fields.outOfRange(
                "repetition_penalty", "\(sampling.repetitionPenalty)", "at least 1.2e-38 and at most 10")
        }
        if let seed = try Self.seed(fields) { sampling.seed = seed }
        guard let biases = fields["logit_bias"] else { return }
        guard let object = biases.object else { throw fields.wrongType("logit_bias", "an object", biases) }
        guard object.members.count <= Self.maximumListedTokens else {
            throw fields.outOfRange(
                "logit_bias", "\(object.members.count) entries", "with at most \(Self.maximumListedTokens) entries")
        }
        for member in object.members {
            guard let token = UInt32(member.name) else {
                throw .invalid("The keys of 'logit_bias' must be token ids.", parameter: "logit_bias")
            }
            guard let bias = member.value.number, (-100...100).contains(bias) else {
                throw .invalid(
                    "'logit_bias' holds a value that is not a number from -100 to 100 (token \(token)).",
                    parameter: "logit_bias")
            }
            sampling.logitBias[token] = bias
        }
    }

    /// Any integer. One that 64 bits do not hold counts as the nearest double: the same number, the same seed.
    private static func seed(_ fields: JSONFields) throws(APIError) -> UInt64? {
        if case .number(let number)? = fields["seed"], Int(exactly: number) == nil, number.rounded() == number {
            return number.bitPattern
        }
        return try fields.integer("seed", in: Int.min...Int.max).map { UInt64(bitPattern: Int64($0)) }
    }

    /// `min_tokens` is kept where nothing can end an answer before its limit, and refused elsewhere.
    ///
    /// - Parameters:
    ///   - isEndedByCall: whether a tool call ends the answer.
    /// - Throws: 400 naming the member.
    package func checkMinimum(_ fields: JSONFields, isEndedByCall: Bool = false) throws(APIError) {
        guard let minimum = try fields.integer("min_tokens", in: 0...Int(Int32.max)), minimum > 0 else { return }
        if let maximumTokens, minimum > maximumTokens {
            throw .invalid(
                "'min_tokens' is \(minimum), more than 'max_tokens', which is \(maximumTokens).",
                parameter: "min_tokens", code: "invalid_value")
        }
        guard sampling.ignoreEos, sampling.stop.isEmpty, sampling.stopTokenIds.isEmpty, !isEndedByCall else {
            throw .unsupported("min_tokens", neutral: [0], instead: "'ignore_eos' beside it, and no stops")
        }
    }

    private mutating func readEnd(_ fields: JSONFields) throws(APIError) {
        sampling.ignoreEos = try fields.bool("ignore_eos") ?? false
        sampling.stop = try Self.stopStrings(fields)
        for value in try fields.array("stop_token_ids", maximumCount: Self.maximumListedTokens) ?? [] {
            guard let id = value.integer, let token = UInt32(exactly: id) else {
                throw fields.wrongType("stop_token_ids", "an array of token ids", value)
            }
            sampling.stopTokenIds.append(token)
        }
    }

    private static func stopStrings(_ fields: JSONFields) throws(APIError) -> [String] {
        guard let value = fields["stop"] else { return [] }
        let elements: [JSONValue]
        switch value {
        case .string: elements = [value]
        case .array: elements = try fields.array("stop", maximumCount: maximumStopCount) ?? []
        default: throw fields.wrongType("stop", "a string or an array of strings", value)
        }
        var strings: [String] = []
        for element in elements {
            guard let text = element.string else { throw fields.wrongType("stop", "an array of strings", element) }
            guard (1...maximumStopLength).contains(text.utf8.count) else {
                throw fields.outOfRange(
                    "stop", "a string of \(text.utf8.count) bytes", "of 1 to \(maximumStopLength) bytes")
            }
            strings.append(text)
        }
        return strings
    }

    /// The parameters of one choice, ready to be sent.
    ///
    /// - Parameters:
    ///   - choice: index among `choiceCount`; each has a seed of its own, derived from the request's.
    ///   - contextLength: what `max_tokens` becomes when the request does not say.
    ///   - promptLogprobs: whether the prompt's tokens are to be scored as well.
    package func sampling(
        choice: Int, contextLength: Int, promptLogprobs: Bool
    ) -> Fathom_Shard_V1_SamplingParameters {
        var result = sampling
        if sampling.hasSeed { result.seed = sampling.seed &+ UInt64(choice) }
        result.maxTokens = UInt32(clamping: maximumTokens ?? contextLength)
        result.logprobs = Int32(logprobs)
        result.promptLogprobs = promptLogprobs ? Int32(logprobs) : -1
        return result
    }
}
