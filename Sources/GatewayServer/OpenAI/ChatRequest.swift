import WireProtocols

/// The body of `POST /v1/chat/completions`.
package struct ChatRequest: Sendable, Equatable {
    /// One turn. Content of several text parts is joined.
    package struct Message: Sendable, Equatable {
        package var role: String
        package var content: String
        package var name = ""
        package var toolCallID = ""
        /// JSON array in OpenAI's form, or empty.
        package var toolCallsJSON = ""
        /// What the assistant thought before it answered.
        package var reasoning = ""

        package init(role: String, content: String) {
            self.role = role
            self.content = content
        }
    }

    /// The `file_search` tool: answer from these vector stores.
    package struct FileSearch: Sendable, Equatable {
        package var vectorStoreIDs: [String]
        /// 1...50; nil: ours to choose.
        package var maximumResults: Int?
        /// 0...1.
        package var scoreThreshold: Double
    }

    /// Most messages in one request.
    package static let maximumMessageCount = 2_048
    /// Most tools in one request.
    package static let maximumToolCount = 128
    /// Most vector stores one request may search.
    package static let maximumVectorStoreCount = 8

    /// At least one.
    package var messages: [Message]
    /// Definitions of function tools for the chat template: JSON array, or empty.
    package var toolsJSON: String
    package var fileSearch: FileSearch?
    /// `parallel_tool_calls` false: the first call ends the answer.
    package var wantsSingleToolCall: Bool
    package var templateSettings: TemplateSettings
    package var parameters: GenerationParameters

    /// Checks and reads a body.
    ///
    /// - Throws: 400 naming the member.
    package init(_ body: JSONObject) throws(APIError) {
        let fields = JSONFields(body)
        try BodyMembers.check(fields, .chat)
        parameters = try GenerationParameters(fields)
        messages = try Self.messages(fields)
        (toolsJSON, fileSearch) = try Self.tools(fields)
        wantsSingleToolCall = try fields.bool("parallel_tool_calls") == false
        templateSettings = try TemplateSettings(fields)
        let limit = 1...Int(Int32.max)
        let maximum = try fields.integer("max_completion_tokens", in: limit)
        let legacyMaximum = try fields.integer("max_tokens", in: limit)
        parameters.maximumTokens = maximum ?? legacyMaximum
        try parameters.checkMinimum(fields, isEndedByCall: wantsSingleToolCall)
        let alternatives = try fields.integer("top_logprobs", in: 0...GenerationParameters.maximumLogprobs)
        if try fields.bool("logprobs") ?? false {
            parameters.logprobs = alternatives ?? 0
        } else if let alternatives, alternatives > 0 {
            throw .invalid("'top_logprobs' needs 'logprobs' to be true.", parameter: "top_logprobs")
        }
    }

    // MARK: Messages

    private static func messages(_ fields: JSONFields) throws(APIError) -> [Message] {
        guard let elements = try fields.array("messages", maximumCount: maximumMessageCount) else {
            throw fields.missing("messages")
        }
        guard !elements.isEmpty else {
            throw .invalid("'messages' must hold at least one message.", parameter: "messages")
        }
        var messages: [Message] = []
        for (index, element) in elements.enumerated() {
            let path = "messages[\(index)]"
            guard let object = element.object else { throw fields.wrongType(path, "an object", element) }
            messages.append(try message(JSONFields(object, path: path)))
        }
        return messages
    }

    private static func message(_ fields: JSONFields) throws(APIError) -> Message {
        var role = try fields.requiredString("role")
        switch role {
        case "system", "user", "assistant", "tool": break
        // The newer name of the same thing; templates know the older.
        case "developer": role = "system"
        case "function": role = "tool"
        default:
            throw .invalid(
                "'\(fields.parameter("role"))' must be one of system, developer, user, assistant and tool.",
                parameter: fields.parameter("role"), code: "invalid_value")
        }
        try BodyMembers.check(fields, .message)
        var message = Message(role: role, content: "")
        if let calls = fields["tool_calls"] {
            guard let elements = calls.array else { throw fields.wrongType("tool_calls", "an array", calls) }
            try check(toolCalls: elements, fields)
            // An empty array is none.
            if !elements.isEmpty { message.toolCallsJSON = calls.text }
        }
        // vLLM's newer name of the same thing.
        let reasoning = try fields.string("reasoning")
        message.reasoning = try fields.string("reasoning_content") ?? reasoning ?? ""
        message.name = try fields.string("name") ?? ""
        message.toolCallID = try fields.string("tool_call_id") ?? ""
        // OpenAI's clients send an answer back as it came: what was refused, with no content beside it.
        let refusal = try role == "assistant" ? fields.string("refusal") : nil
        guard let content = fields["content"] else {
            guard role == "assistant" && !(message.toolCallsJSON + message.reasoning + (refusal ?? "")).isEmpty else {
                throw fields.missing("content")
            }
            message.content = refusal ?? ""
            return message
        }
        message.content = try text(content, fields, isAssistant: role == "assistant")
        return message
    }

    private static func check(toolCalls elements: [JSONValue], _ fields: JSONFields) throws(APIError) {
        for (index, element) in elements.enumerated() {
            let name = "tool_calls[\(index)]"
            guard let object = element.object else { throw fields.wrongType(name, "an object", element) }
            let call = JSONFields(object, path: fields.parameter(name))
            guard let function = try call.object("function") else { throw call.missing("function") }
            _ = try function.requiredString("name")
        }
    }

    private static func text(
        _ content: JSONValue, _ fields: JSONFields, isAssistant: Bool
    ) throws(APIError) -> String {
        if let text = content.string { return text }
        guard let parts = content.array else {
            throw fields.wrongType("content", "a string or an array of text parts", content)
        }
        var texts: [String] = []
        for (index, part) in parts.enumerated() {
            guard let object = part.object else {
                throw fields.wrongType("content[\(index)]", "an object with 'type' and 'text'", part)
            }
            let partFields = JSONFields(object, path: fields.parameter("content[\(index)]"))
            switch try partFields.requiredString("type") {
            case "text": texts.append(try partFields.requiredString("text"))
            case "refusal" where isAssistant: texts.append(try partFields.requiredString("refusal"))
            default:
                throw .invalid(
                    "'\(partFields.parameter("type"))' must be 'text': the model reads nothing else.",
                    parameter: partFields.parameter("type"), code: "unsupported_value")
            }
        }
        return texts.joined(separator: "\n")
    }

    // MARK: Tools

    private static func tools(_ fields: JSONFields) throws(APIError) -> (json: String, fileSearch: FileSearch?) {
        var functions: [JSONValue] = []
        var search: FileSearch?
        for (index, element) in (try fields.array("tools", maximumCount: maximumToolCount) ?? []).enumerated() {
            let path = "tools[\(index)]"
            guard let object = element.object else { throw fields.wrongType(path, "an object", element) }
            let tool = JSONFields(object, path: path)
            switch try tool.requiredString("type") {
            case "function":
                guard let function = try tool.object("function") else { throw tool.missing("function") }
                try check(function)
                functions.append(element)
            case "file_search":
                guard search == nil else {
                    throw .invalid("'tools' may hold one 'file_search' only.", parameter: path)
                }
                search = try fileSearch(try tool.object("file_search") ?? tool)
            default:
                throw .invalid(
                    "'\(tool.parameter("type"))' must be 'function' or 'file_search'.",
                    parameter: tool.parameter("type"), code: "unsupported_value")
            }
        }
        guard try offersTools(fields, hasFunctions: !functions.isEmpty) else { return ("", nil) }
        return (functions.isEmpty ? "" : JSONValue.array(functions).text, search)
    }

    /// Longest name of a function, in bytes.
    private static let maximumFunctionNameLength = 128

    /// Names are what a model can write and a program can look up; parameters are a schema.
    private static func check(_ function: JSONFields) throws(APIError) {
        let name = try function.requiredString("name")
        let isPlain = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte & 0xDF) || "_-.".utf8.contains(byte)
        }
        guard isPlain, (1...maximumFunctionNameLength).contains(name.utf8.count) else {
            throw .invalid(
                "'\(function.parameter("name"))' must be 1 to \(maximumFunctionNameLength) letters a-z, digits, '_', '-' "
                    + "or '.'.", parameter: function.parameter("name"), code: "invalid_value")
        }
        _ = try function.object("parameters")
    }

    /// Whether the model may call tools.
    private static func offersTools(_ fields: JSONFields, hasFunctions: Bool) throws(APIError) -> Bool {
        guard let choice = fields["tool_choice"] else { return true }
        switch choice.string {
        case "none": return false
        case "auto": return true
        case nil where choice.object == nil: throw fields.wrongType("tool_choice", "a string or an object", choice)
        default: break
        }
        // Searching is ours to do, and is done whenever it is asked for.
        if choice["type"] == "file_search" { return true }
        guard hasFunctions else {
            throw .invalid("'tool_choice' needs 'tools' with a function.", parameter: "tool_choice")
        }
        throw .invalid(
            "'tool_choice' must be 'auto' or 'none': a model cannot be made to call a function here.",
            parameter: "tool_choice", code: "unsupported_value")
    }

    private static func fileSearch(_ fields: JSONFields) throws(APIError) -> FileSearch {
        try BodyMembers.check(fields, .fileSearch)
        guard let elements = try fields.array("vector_store_ids", maximumCount: maximumVectorStoreCount),
            !elements.isEmpty
        else { throw fields.missing("vector_store_ids") }
        var ids: [String] = []
        for element in elements {
            guard let id = element.string else {
                throw fields.wrongType("vector_store_ids", "an array of strings", element)
            }
            ids.append(id)
        }
        let ranking = try fields.object("ranking_options")
        if let ranking { try BodyMembers.check(ranking, .rankingOptions) }
        return FileSearch(
            vectorStoreIDs: ids, maximumResults: try fields.integer("max_num_results", in: 1...50),
            scoreThreshold: try ranking?.number("score_threshold", in: 0...1) ?? 0)
    }
}

extension ChatRequest {
    /// The conversation in wire form, with other content for its last user message when evidence was added to it.
    package func prompt(messages: [Message]) -> Fathom_Shard_V1_Prompt {
        var chat = Fathom_Shard_V1_ChatPrompt()
        chat.messages = messages.map { message in
            var result = Fathom_Shard_V1_ChatMessage()
            result.role = message.role
            result.content = message.content
            result.name = message.name
            result.toolCallID = message.toolCallID
            result.toolCallsJson = message.toolCallsJSON
            result.reasoningContent = message.reasoning
            return result
        }
        chat.toolsJson = toolsJSON
        chat.singleToolCall = wantsSingleToolCall
        chat.templateVariablesJson = templateSettings.variablesJSON
        var prompt = Fathom_Shard_V1_Prompt()
        prompt.chat = chat
        return prompt
    }
}
