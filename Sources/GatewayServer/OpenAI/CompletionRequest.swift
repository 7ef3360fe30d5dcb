import WireProtocols

/// The body of `POST /v1/completions`.
package struct CompletionRequest: Sendable, Equatable {
    /// One prompt: text, or the model's token ids.
    package enum Prompt: Sendable, Equatable {
        case text(String)
        case tokens([UInt32])
    }

    /// Most prompts in one request.
    package static let maximumPromptCount = 256
    /// Most choices of all prompts together.
    package static let maximumChoices = 512

    /// At least one.
    package var prompts: [Prompt]
    /// The answer repeats the prompt.
    package var echo: Bool
    package var parameters: GenerationParameters

    /// Checks and reads a body.
    ///
    /// - Throws: 400 naming the member.
    package init(_ body: JSONObject) throws(APIError) {
        let fields = JSONFields(body)
        try BodyMembers.check(fields, .completions)
        parameters = try GenerationParameters(fields)
        prompts = try Self.prompts(fields)
        echo = try fields.bool("echo") ?? false
        parameters.maximumTokens = try fields.integer("max_tokens", in: 0...Int(Int32.max)) ?? 16
        if parameters.maximumTokens == 0 && !echo {
            throw fields.outOfRange("max_tokens", "0", "of at least 1 (0 needs 'echo')")
        }
        try parameters.checkMinimum(fields)
        parameters.logprobs = try fields.integer("logprobs", in: 0...GenerationParameters.maximumLogprobs) ?? -1
        if let best = try fields.integer("best_of", in: 1...Int(Int32.max)), best != parameters.choiceCount {
            throw .invalid("'best_of' is not supported unless it equals 'n'.", parameter: "best_of")
        }
        if let suffix = try fields.string("suffix"), !suffix.isEmpty {
            throw .invalid("'suffix' is not supported.", parameter: "suffix")
        }
        guard prompts.count * parameters.choiceCount <= Self.maximumChoices else {
            throw .invalid(
                "\(prompts.count) prompts with n=\(parameters.choiceCount) exceed \(Self.maximumChoices) choices.",
                parameter: "n")
        }
    }

    private static func prompts(_ fields: JSONFields) throws(APIError) -> [Prompt] {
        let expected = "a string, an array of strings, an array of token ids, or an array of arrays of token ids"
        guard let value = fields["prompt"] else { throw fields.missing("prompt") }
        if let text = value.string { return [.text(text)] }
        guard let elements = value.array else { throw fields.wrongType("prompt", expected, value) }
        guard let first = elements.first else {
            throw .invalid("'prompt' must not be an empty array.", parameter: "prompt")
        }
        if first.integer != nil { return [.tokens(try tokens(elements, fields))] }
        guard elements.count <= maximumPromptCount else {
            throw fields.outOfRange(
                "prompt", "\(elements.count) prompts", "with at most \(maximumPromptCount) prompts")
        }
        var prompts: [Prompt] = []
        for element in elements {
            switch element {
            case .string(let text): prompts.append(.text(text))
            case .array(let ids): prompts.append(.tokens(try tokens(ids, fields)))
            default: throw fields.wrongType("prompt", expected, element)
            }
        }
        return prompts
    }

    private static func tokens(_ elements: [JSONValue], _ fields: JSONFields) throws(APIError) -> [UInt32] {
        guard !elements.isEmpty else {
            throw .invalid("'prompt' holds an empty array of token ids.", parameter: "prompt")
        }
        var ids: [UInt32] = []
        ids.reserveCapacity(elements.count)
        for element in elements {
            guard let id = element.integer else { throw fields.wrongType("prompt", "an array of token ids", element) }
            guard let token = UInt32(exactly: id) else {
                throw fields.outOfRange("prompt", "token id \(id)", "of at least 0")
            }
            ids.append(token)
        }
        return ids
    }
}

extension CompletionRequest.Prompt {
    /// The wire form.
    package var proto: Fathom_Shard_V1_Prompt {
        var prompt = Fathom_Shard_V1_Prompt()
        switch self {
        case .text(let text): prompt.text = text
        case .tokens(let ids):
            var tokens = Fathom_Shard_V1_TokenIDs()
            tokens.ids = ids
            prompt.tokens = tokens
        }
        return prompt
    }
}
