import WireProtocols

/// Token counts of a request.
package struct Usage: Sendable, Equatable {
    /// Tokens of every prompt, each once, however many choices it has.
    package var promptTokens = 0
    /// Tokens of every choice.
    package var completionTokens = 0
    /// Prompt tokens that came from the tenant's cache.
    package var cachedTokens = 0
    /// Completion tokens that were reasoning.
    package var reasoningTokens = 0

    package init(
        promptTokens: Int = 0, completionTokens: Int = 0, cachedTokens: Int = 0, reasoningTokens: Int = 0
    ) {
        self.reasoningTokens = reasoningTokens
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        self.cachedTokens = cachedTokens
    }

    /// Adds a finished choice; `choice` is its index among the choices of its prompt.
    package mutating func add(_ finished: Fathom_Shard_V1_Finished, choice: Int) {
        completionTokens += Int(finished.completionTokens)
        reasoningTokens += Int(finished.reasoningTokens)
        guard choice == 0 else { return }
        promptTokens += Int(finished.promptTokens)
        cachedTokens += Int(finished.cachedTokens)
    }

    /// Writes the member `usage`.
    func write(to writer: inout JSONWriter) {
        writer.member("usage") { usage in
            usage.member("prompt_tokens", promptTokens)
            usage.member("completion_tokens", completionTokens)
            usage.member("total_tokens", promptTokens + completionTokens)
            usage.member("prompt_tokens_details") { $0.member("cached_tokens", cachedTokens) }
            guard reasoningTokens > 0 else { return }
            usage.member("completion_tokens_details") { $0.member("reasoning_tokens", reasoningTokens) }
        }
    }
}
