import Foundation

/// A model's chat template: turns messages into the prompt text that the model was trained on.
///
/// Templates are Jinja2, rendered as transformers renders them: `trim_blocks` and `lstrip_blocks` on, `break` and
/// `continue` allowed, `tojson` that keeps Unicode, `raise_exception` and `strftime_now` as functions. They come with
/// model files, so they are not trusted: they can do nothing but make text, and steps, output, nesting and value sizes
/// are bounded. What is not implemented is refused when the template is parsed. Immutable; may be used from any thread.
package struct ChatTemplate: Sendable {
    /// The template's text.
    package let source: String
    private let statements: [Statement]
    private var limits: ChatTemplateLimits

    /// Parses a template.
    ///
    /// - Throws: `ChatTemplateError` with `syntax` or `limitExceeded`, and the line.
    package init(source: String, limits: ChatTemplateLimits = ChatTemplateLimits()) throws {
        self.source = source
        self.limits = limits
        statements = try Parser.parse(source)
    }

    /// The same template under other bounds.
    package func with(_ limits: ChatTemplateLimits) -> ChatTemplate {
        var result = self
        result.limits = limits
        return result
    }

    /// The prompt for `messages`, with what came from the request marked.
    ///
    /// - Parameters:
    ///   - messages: objects with `role` and `content`, and whatever else the template knows.
    ///   - addGenerationPrompt: whether the prompt ends where the assistant's answer begins.
    ///   - variables: what else came with the request, such as `tools`. `tools` and `documents` are none unless given,
    ///     as in transformers.
    ///   - modelVariables: what belongs to the model, such as `bos_token` and `eos_token`: never marked. They win over
    ///     `variables`.
    ///   - secondsSince1970: the time that `strftime_now` tells, in UTC; nil for now.
    /// - Throws: `ChatTemplateError` with `raised` when the template refuses the messages, `evaluation` or
    ///   `limitExceeded` when it fails.
    package func prompt(
        messages: [JinjaValue], addGenerationPrompt: Bool, variables: [String: JinjaValue] = [:],
        modelVariables: [String: JinjaValue] = [:], secondsSince1970: Double? = nil
    ) throws(ChatTemplateError) -> RenderedPrompt {
        var all: [String: Value] = ["tools": .none, "documents": .none]
        for (name, value) in variables { all[name] = Value(value, isUntrusted: true) }
        for (name, value) in modelVariables { all[name] = Value(value, isUntrusted: false) }
        all["messages"] = .list(ValueList(messages.map { Value($0, isUntrusted: true) }))
        all["add_generation_prompt"] = .bool(addGenerationPrompt)
        let text = try render(all, secondsSince1970)
        return RenderedPrompt(text: text.string, untrusted: text.untrusted)
    }

    /// The text of `prompt` alone.
    package func render(
        messages: [JinjaValue], addGenerationPrompt: Bool, variables: [String: JinjaValue] = [:],
        secondsSince1970: Double? = nil
    ) throws(ChatTemplateError) -> String {
        try prompt(
            messages: messages, addGenerationPrompt: addGenerationPrompt, variables: variables,
            secondsSince1970: secondsSince1970
        ).text
    }

    /// The template's text with `variables` and nothing else.
    package func render(
        variables: [String: JinjaValue], secondsSince1970: Double? = nil
    ) throws(ChatTemplateError) -> String {
        try render(variables.mapValues { Value($0, isUntrusted: true) }, secondsSince1970).string
    }

    private func render(
        _ variables: [String: Value], _ secondsSince1970: Double?
    ) throws(ChatTemplateError) -> Text {
        let interpreter = Interpreter(
            limits: limits, secondsSince1970: secondsSince1970 ?? Date().timeIntervalSince1970)
        return try interpreter.render(statements, variables: variables.map { ($0.key, $0.value) })
    }
}

/// A prompt as text, with the parts that came from the request.
package struct RenderedPrompt: Sendable, Equatable {
    package let text: String
    /// UTF-8 offsets in `text` of what users, tools and documents wrote: no control token may be read from it.
    /// Ascending, none empty, none touching another.
    package let untrusted: [Range<Int>]

    package init(text: String, untrusted: [Range<Int>]) {
        self.text = text
        self.untrusted = untrusted
    }
}
