/// How a model writes its answers: whether it reasons first, and how it writes tool calls. Read off its chat template,
/// which shows the model earlier answers in the same form.
package struct ChatFormat: Sendable, Equatable {
    package enum ToolCallStyle: Sendable, Equatable {
        /// The template knows no form that is known here: calls stay text.
        case none
        /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes, Qwen 2.5 and 3, SmolLM2.
        case tagged
        /// `<｜tool▁call▁begin｜>…<｜tool▁sep｜>…<｜tool▁call▁end｜>`: DeepSeek V3, R1, V3.1.
        case deepSeek
        /// `{"name": …, "parameters": {…}}` alone or after `<|python_tag|>`: Llama 3.1 and later.
        case llama
        /// `[TOOL_CALLS] [{"name": …, "arguments": {…}}]` or `[TOOL_CALLS]name[ARGS]{…}`: Mistral.
        case mistral
    }

    /// Whether the model may put `<think>…</think>` before its answer.
    package let reasons: Bool
    package let toolCalls: ToolCallStyle

    package init(reasons: Bool, toolCalls: ToolCallStyle) {
        self.reasons = reasons
        self.toolCalls = toolCalls
    }

    /// The format that a chat template implies.
    package init(template source: String) {
        reasons = source.contains("<think>") || source.contains("</think>")
        if source.contains(Marker.deepSeekCall) {
            toolCalls = .deepSeek
        } else if source.contains(Marker.mistralCalls) {
            toolCalls = .mistral
        } else if source.contains(Marker.taggedCall), !source.contains("<function=") {
            toolCalls = .tagged
        } else if source.contains(Marker.pythonTag)
            || (source.contains("<|start_header_id|>") && source.contains("\"parameters\""))
        {
            toolCalls = .llama
        } else {
            toolCalls = .none
        }
    }

    /// Texts that tell the parts of an answer from each other. Where the model has special tokens for them, those must
    /// reach the parser as text.
    package var markers: Set<String> {
        var markers: Set<String> = reasons ? [Marker.thinkStart, Marker.thinkEnd] : []
        switch toolCalls {
        case .none: break
        case .tagged: markers.formUnion([Marker.taggedCall, Marker.taggedCallEnd])
        case .deepSeek:
            markers.formUnion([
                Marker.deepSeekCalls, Marker.deepSeekCall, Marker.deepSeekSeparator, Marker.deepSeekCallEnd,
                Marker.deepSeekCallsEnd,
            ])
        case .llama: markers.insert(Marker.pythonTag)
        case .mistral: markers.formUnion([Marker.mistralCalls, Marker.mistralArguments, Marker.mistralCallID])
        }
        return markers
    }
}

/// The words of the formats.
enum Marker {
    static let thinkStart = "<think>"
    static let thinkEnd = "</think>"
    static let taggedCall = "<tool_call>"
    static let taggedCallEnd = "</tool_call>"
    static let deepSeekCalls = "<｜tool▁calls▁begin｜>"
    static let deepSeekCall = "<｜tool▁call▁begin｜>"
    static let deepSeekSeparator = "<｜tool▁sep｜>"
    static let deepSeekCallEnd = "<｜tool▁call▁end｜>"
    static let deepSeekCallsEnd = "<｜tool▁calls▁end｜>"
    static let pythonTag = "<|python_tag|>"
    static let mistralCalls = "[TOOL_CALLS]"
    static let mistralArguments = "[ARGS]"
    static let mistralCallID = "[CALL_ID]"
}

/// A part of an answer.
package enum AnswerPiece: Sendable, Equatable {
    /// What the model thought; pieces follow each other.
    case reasoning(String)
    /// What it says; pieces follow each other.
    case content(String)
    /// A whole call.
    case toolCall(ToolCall)
}

/// A call of a tool that the model asks for.
package struct ToolCall: Sendable, Equatable {
    package let name: String
    /// The text of a JSON object, as the model wrote it.
    package let arguments: String

    package init(name: String, arguments: String) {
        self.name = name
        self.arguments = arguments
    }
}
