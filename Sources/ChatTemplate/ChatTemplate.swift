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
    private let limits: ChatTemplateLimits

    /// Parses a template.
    ///
    /// - Throws: `ChatTemplateError` with `syntax` or `limitExceeded`, and the line.
    package init(source: String, limits: ChatTemplateLimits = ChatTemplateLimits()) throws {
        self.source = source
        self.limits = limits
        statements = try Parser.parse(source)
    }

    /// The prompt for `messages`.
    ///
    /// - Parameters:
    ///   - messages: objects with `role` and `content`, and whatever else the template knows.
    ///   - addGenerationPrompt: whether the prompt ends where the assistant's answer begins.
    ///   - variables: everything else, such as `bos_token`, `eos_token`, `tools`. `tools` and `documents` are none
    ///     unless given, as in transformers.
    ///   - secondsSince1970: the time that `strftime_now` tells, in UTC; nil for now.
    /// - Throws: `ChatTemplateError` with `raised` when the template refuses the messages, `evaluation` or
    ///   `limitExceeded` when it fails.
    package func render(
        messages: [JinjaValue], addGenerationPrompt: Bool, variables: [String: JinjaValue] = [:],
        secondsSince1970: Double? = nil
    ) throws -> String {
        var all: [String: JinjaValue] = ["tools": .none, "documents": .none]
        all.merge(variables) { $1 }
        all["messages"] = .array(messages)
        all["add_generation_prompt"] = .bool(addGenerationPrompt)
        return try render(variables: all, secondsSince1970: secondsSince1970)
    }

    /// The template's text with `variables` and nothing else.
    package func render(variables: [String: JinjaValue], secondsSince1970: Double? = nil) throws -> String {
        let interpreter = Interpreter(
            limits: limits, secondsSince1970: secondsSince1970 ?? Date().timeIntervalSince1970)
        return try interpreter.render(statements, variables: variables.map { ($0.key, Value($0.value)) })
    }
}
