import ChatTemplate
import Foundation
import InferenceCore
import Tokenization
import WireProtocols

extension ServedModel {
    /// Text longer than this many bytes for each token of the context cannot fit, and is not tokenised to find out.
    private static let maxBytesPerToken = 512

    /// Turns a prompt into token ids and says how to read the answer, in the calling task: not on the step thread.
    ///
    /// - Throws: `invalidRequest` (no prompt, malformed JSON, a template that refuses the messages, in
    ///   its words; a tokeniser whose
    ///   rules run away on the text),
    ///   `contextLengthExceeded` for text that is far too long. Exact limits are checked at submission.
    package func prepare(
        _ prompt: Fathom_Shard_V1_Prompt, contextLimit: Int
    ) throws(InferenceError) -> PreparedPrompt {
        switch prompt.kind {
        case .text(let text):
            try checkLength(text, contextLimit)
            return PreparedPrompt(
                tokenIDs: try encoded { try tokenizer.encode(text, parseSpecial: true, addSpecial: true) })
        case .tokens(let tokens):
            return PreparedPrompt(tokenIDs: tokens.ids)
        case .chat(let chat):
            let tools = try tools(of: chat)
            let rendered = try render(chat, tools: tools)
            try checkLength(rendered.text, contextLimit)
            let ids = try encoded {
                try controlTokens.encode(rendered.text, untrusted: rendered.untrusted, with: tokenizer)
            }
            let parser = AnswerParser(
                format: chatFormat, prompt: rendered, toolNames: Self.names(of: tools),
                allowsParallelCalls: !chat.singleToolCall)
            return PreparedPrompt(tokenIDs: ids, parser: parser)
        case nil:
            throw InferenceError(code: .invalidRequest, message: "the prompt is missing")
        }
    }

    private func encoded(_ encode: () throws -> [TokenID]) throws(InferenceError) -> [TokenID] {
        do {
            return try encode()
        } catch {
            let reason = (error as? TokenizationError)?.message ?? "the text cannot be tokenised"
            throw InferenceError(code: .invalidRequest, message: "model \(name): \(reason)")
        }
    }

    private func checkLength(_ text: String, _ contextLimit: Int) throws(InferenceError) {
        guard text.utf8.count <= contextLimit * Self.maxBytesPerToken else {
            throw InferenceError(
                code: .contextLengthExceeded,
                message: "the prompt has \(text.utf8.count) bytes; the context window holds \(contextLimit) tokens")
        }
    }

    /// Renders a chat with the model's own template.
    private func render(
        _ chat: Fathom_Shard_V1_ChatPrompt, tools: JinjaValue?
    ) throws(InferenceError) -> RenderedPrompt {
        guard let chatTemplate else {
            throw InferenceError(
                code: .invalidRequest, message: "model \(name) has no chat template; send text instead")
        }
        guard !chat.messages.isEmpty else {
            throw InferenceError(code: .invalidRequest, message: "the chat has no messages")
        }
        var variables: [String: JinjaValue] = [:]
        if !chat.templateVariablesJson.isEmpty {
            guard case .object(let object) = try json(chat.templateVariablesJson, "template_variables_json") else {
                throw InferenceError(code: .invalidRequest, message: "template_variables_json is no JSON object")
            }
            for key in object.keys { variables[key] = object[key] }
        }
        if let tools { variables["tools"] = tools }
        let modelVariables: [String: JinjaValue] = [
            "bos_token": .string(tokenizer.bosTokenID.flatMap(tokenizer.specialText) ?? ""),
            "eos_token": .string(tokenizer.eosTokenID.flatMap(tokenizer.specialText) ?? ""),
        ]
        var messages: [JinjaValue] = []
        for message in chat.messages { messages.append(try value(of: message)) }
        do {
            return try chatTemplate.prompt(
                messages: messages, addGenerationPrompt: true, variables: variables, modelVariables: modelVariables)
        } catch {
            throw InferenceError(template: error)
        }
    }

    private func value(of message: Fathom_Shard_V1_ChatMessage) throws(InferenceError) -> JinjaValue {
        var fields: JinjaObject = ["role": .string(message.role), "content": .string(message.content)]
        if !message.name.isEmpty { fields["name"] = .string(message.name) }
        if !message.toolCallID.isEmpty { fields["tool_call_id"] = .string(message.toolCallID) }
        if !message.reasoningContent.isEmpty { fields["reasoning_content"] = .string(message.reasoningContent) }
        guard !message.toolCallsJson.isEmpty else { return .object(fields) }
        guard case .array(let calls) = try json(message.toolCallsJson, "tool_calls_json") else {
            throw InferenceError(code: .invalidRequest, message: "tool_calls_json is no JSON array")
        }
        fields["tool_calls"] = .array(calls.map(withFittingArguments))
        if message.content.isEmpty, !(templateTraits?.wantsEmptyContent ?? false) {
            fields["content"] = JinjaValue.none
        }
        return .object(fields)
    }

    /// A call with its arguments in the form that the template can use. Text that is no JSON object stays text.
    private func withFittingArguments(_ call: JinjaValue) -> JinjaValue {
        guard case .object(var fields) = call, case .object(var function) = fields["function"] else { return call }
        let wantsObjects = templateTraits?.wantsArgumentObjects ?? true
        switch function["arguments"] {
        case .string(let text) where wantsObjects:
            let given = text.isEmpty ? "{}" : text
            if let value = try? JinjaValue(json: given), case .object = value { function["arguments"] = value }
        case .some(.object(let object)) where !wantsObjects:
            function["arguments"] = .string(JinjaValue.object(object).json)
        default: break
        }
        fields["function"] = .object(function)
        return .object(fields)
    }

    private func tools(of chat: Fathom_Shard_V1_ChatPrompt) throws(InferenceError) -> JinjaValue? {
        chat.toolsJson.isEmpty ? nil : try json(chat.toolsJson, "tools_json")
    }

    private static func names(of tools: JinjaValue?) -> Set<String> {
        guard case .array(let tools) = tools else { return [] }
        return Set(
            tools.compactMap { tool in
                guard case .object(let fields) = tool, case .object(let function) = fields["function"],
                    case .string(let name) = function["name"]
                else { return nil }
                return name
            })
    }

    private func json(_ text: String, _ field: String) throws(InferenceError) -> JinjaValue {
        do {
            return try JinjaValue(json: text)
        } catch {
            throw InferenceError(code: .invalidRequest, message: "\(field) is not valid JSON", cause: error)
        }
    }
}

/// A prompt that is ready for the engine.
package struct PreparedPrompt: Sendable {
    package let tokenIDs: [TokenID]
    /// How to read the answer to a chat; nil for other prompts, whose answers are text.
    package let parser: AnswerParser?

    package init(tokenIDs: [TokenID], parser: AnswerParser? = nil) {
        self.tokenIDs = tokenIDs
        self.parser = parser
    }
}
