extension APIError {
    /// 400 for a prompt or an input that the model cannot hold, in the words that clients look for: OpenAI's sentence,
    /// and the code in the text as well.
    ///
    /// - Parameters:
    ///   - limit: tokens the model holds, when known.
    ///   - found: what is too long, with its size, as a clause ("the prompt has 9999 tokens").
    package static func contextLengthExceeded(limit: String?, found: String, parameter: String?) -> APIError {
        let length = limit.map { "This model's maximum context length is \($0) tokens. However, " } ?? "Too long: "
        return .invalid(
            length + found + " (context_length_exceeded). Please reduce the length.", parameter: parameter,
            code: "context_length_exceeded")
    }

    /// The same, about `parameter`, when it is about a length and names none.
    func about(_ parameter: String) -> APIError {
        guard code == "context_length_exceeded", self.parameter == nil else { return self }
        var result = self
        result.parameter = parameter
        return result
    }

    /// 400 for a model that exists and does something else.
    ///
    /// - Parameters:
    ///   - problem: a sentence.
    ///   - instead: models that do what was asked for.
    package static func wrongKindOfModel(_ problem: String, instead: [String]) -> APIError {
        let names = instead.isEmpty ? "none yet" : instead.joined(separator: ", ")
        return .invalid("\(problem) Available for this: \(names).", parameter: "model", code: "unsupported_model")
    }
}
