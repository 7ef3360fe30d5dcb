import ChatTemplate
import Foundation
import InferenceCore
import Tokenization
import WireProtocols

extension ServedModel {
    /// Text longer than this many bytes for each token of the context cannot fit, and is not tokenised to find out.
    private static let maxBytesPerToken = 512

    /// Turns a prompt into token ids, in the calling task: not on the step thread.
    ///
    /// - Throws: `invalidRequest` (no prompt, malformed JSON, a template that refuses the messages),
    ///   `contextLengthExceeded` for text that is far too long. Exact limits are checked at submission.
    package func tokenIDs(of prompt: Fathom_Shard_V1_Prompt, contextLimit: Int) throws(InferenceError) -> [TokenID] {
        switch prompt.kind {
        case .text(let text):
            try checkLength(text, contextLimit)
            return tokenizer.encode(text, parseSpecial: true, addSpecial: true)
        case .tokens(let tokens):
            return tokens.ids
        case .chat(let chat):
            let text = try render(chat)
            try checkLength(text, contextLimit)
            // The template writes whatever special tokens the model expects.
            return tokenizer.encode(text, parseSpecial: true, addSpecial: false)
        case nil:
            throw InferenceError(code: .invalidRequest, message: "the prompt is missing")
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
    private func render(_ chat: Fathom_Shard_V1_ChatPrompt) throws(InferenceError) -> String {
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
        if !chat.toolsJson.isEmpty { variables["tools"] = try json(chat.toolsJson, "tools_json") }
        variables["bos_token"] = .string(tokenizer.bosTokenID.flatMap(tokenizer.specialText) ?? "")
        variables["eos_token"] = .string(tokenizer.eosTokenID.flatMap(tokenizer.specialText) ?? "")
        var messages: [JinjaValue] = []
        for message in chat.messages { messages.append(try value(of: message)) }
        do {
            return try chatTemplate.render(messages: messages, addGenerationPrompt: true, variables: variables)
        } catch {
            // The template's message may quote the conversation; its kind is all that may be said.
            throw InferenceError(
                code: .invalidRequest, message: "the model's chat template does not accept these messages",
                cause: error)
        }
    }

    private func value(of message: Fathom_Shard_V1_ChatMessage) throws(InferenceError) -> JinjaValue {
        var fields: JinjaObject = ["role": .string(message.role), "content": .string(message.content)]
        if !message.name.isEmpty { fields["name"] = .string(message.name) }
        if !message.toolCallID.isEmpty { fields["tool_call_id"] = .string(message.toolCallID) }
        if !message.toolCallsJson.isEmpty { fields["tool_calls"] = try json(message.toolCallsJson, "tool_calls_json") }
        return .object(fields)
    }

    private func json(_ text: String, _ field: String) throws(InferenceError) -> JinjaValue {
        do {
            return try JinjaValue(json: text)
        } catch {
            throw InferenceError(code: .invalidRequest, message: "\(field) is not valid JSON", cause: error)
        }
    }
}
