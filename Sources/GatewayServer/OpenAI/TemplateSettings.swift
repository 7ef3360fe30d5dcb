/// What a request tells the chat template beyond messages and tools: whether and how much to think, and variables that
/// the template of the model knows.
package struct TemplateSettings: Sendable, Equatable {
    /// Most variables of `chat_template_kwargs`.
    package static let maximumVariableCount = 32
    /// Most bytes of `chat_template_kwargs`.
    package static let maximumByteCount = 65_536

    private static let efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]
    /// Names that mean something already.
    private static let reserved: Set<String> = [
        "messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "raise_exception", "strftime_now",
        "range", "namespace", "dict", "cycler", "joiner", "loop", "caller",
    ]

    /// Template variables: JSON object, or empty.
    package let variablesJSON: String

    /// Reads `reasoning_effort`, `thinking`, `enable_thinking` and `chat_template_kwargs`; the last wins over the others.
    ///
    /// - Throws: 400 naming the member.
    package init(_ fields: JSONFields) throws(APIError) {
        var variables = JSONObject()
        if let effort = try fields.string("reasoning_effort") {
            guard Self.efforts.contains(effort) else {
                throw .invalid(
                    "'reasoning_effort' must be one of \(Self.efforts.joined(separator: ", ")).",
                    parameter: "reasoning_effort", code: "invalid_value")
            }
            variables["reasoning_effort"] = .string(effort)
            Self.set(thinking: effort != "none", in: &variables)
        }
        if let thinking = try fields.object("thinking") {
            try BodyMembers.check(thinking, .thinking)
            let type = try thinking.requiredString("type")
            guard ["enabled", "disabled"].contains(type) else {
                throw .invalid(
                    "'thinking.type' must be 'enabled' or 'disabled'.", parameter: "thinking.type",
                    code: "invalid_value")
            }
            Self.set(thinking: type == "enabled", in: &variables)
        }
        if let thinks = try fields.bool("enable_thinking") { Self.set(thinking: thinks, in: &variables) }
        if let given = fields["chat_template_kwargs"] {
            guard let object = given.object else { throw fields.wrongType("chat_template_kwargs", "an object", given) }
            try Self.merge(object, into: &variables)
        }
        variablesJSON = variables.members.isEmpty ? "" : JSONValue.object(variables).text
    }

    /// Qwen's templates call the switch `enable_thinking`, DeepSeek's `thinking`.
    private static func set(thinking: Bool, in variables: inout JSONObject) {
        variables["enable_thinking"] = .bool(thinking)
        variables["thinking"] = .bool(thinking)
    }

    private static func merge(_ object: JSONObject, into variables: inout JSONObject) throws(APIError) {
        let parameter = "chat_template_kwargs"
        let size = JSONValue.object(object).text.utf8.count
        guard object.members.count <= maximumVariableCount, size <= maximumByteCount else {
            throw .invalid(
                "'\(parameter)' has \(object.members.count) members and \(size) bytes; "
                    + "expected at most \(maximumVariableCount) and \(maximumByteCount).", parameter: parameter)
        }
        for member in object.members {
            guard isIdentifier(member.name), !reserved.contains(member.name) else {
                throw .invalid(
                    "'\(parameter)' holds a name that is reserved or is no identifier.", parameter: parameter)
            }
            variables[member.name] = member.value
        }
    }

    private static func isIdentifier(_ name: String) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= 64, !(0x30...0x39).contains(first) else { return false }
        return name.utf8.allSatisfy {
            $0 == UInt8(ascii: "_") || (0x30...0x39).contains($0) || (0x41...0x5A).contains($0 & 0xDF)
        }
    }
}
