/// Finds where a JSON object or array ends, in text that comes in pieces. Looks at brackets and strings only.
struct JSONExtent: Sendable {
    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    /// Bytes looked at.
    private var position: Int

    /// - Parameter start: where the opening bracket stands.
    init(from start: Int) { position = start }

    /// The index after the closing bracket; nil while it has not come.
    mutating func end(in bytes: [UInt8]) -> Int? {
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if isInString {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isInString = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isInString = true
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth <= 0 { return position }
            default: break
            }
        }
        return nil
    }
}

extension ToolCall {
    /// The calls that JSON text stands for: one object with `name` and `arguments` or `parameters`, or an array of them.
    /// nil when it is anything else.
    static func calls(json bytes: some Sequence<UInt8>) -> [ToolCall]? {
        let bytes = Array(bytes)
        let start = MarkerSearch.skippingSpace(bytes)
        guard start < bytes.count else { return nil }
        guard bytes[start] == UInt8(ascii: "[") else { return call(object: bytes).map { [$0] } }
        var calls: [ToolCall] = []
        var index = MarkerSearch.skippingSpace(bytes, from: start + 1)
        while index < bytes.count {
            var extent = JSONExtent(from: index)
            guard let end = extent.end(in: bytes), let call = call(object: Array(bytes[index..<end])) else {
                return nil
            }
            calls.append(call)
            index = MarkerSearch.skippingSpace(bytes, from: end)
            guard index < bytes.count else { return nil }
            if bytes[index] == UInt8(ascii: "]") {
                return MarkerSearch.skippingSpace(bytes, from: index + 1) == bytes.count ? calls : nil
            }
            guard bytes[index] == UInt8(ascii: ",") else { return nil }
            index = MarkerSearch.skippingSpace(bytes, from: index + 1)
        }
        return nil
    }

    /// `arguments` when it is the text of a JSON object, else nil.
    static func arguments(_ bytes: some Sequence<UInt8>) -> String? {
        var reader = JSONParser(bytes: Array(bytes))
        guard (try? reader.objectMembers()) != nil else { return nil }
        return trimmed(reader.bytes[...])
    }

    private static func call(object bytes: [UInt8]) -> ToolCall? {
        var reader = JSONParser(bytes: bytes)
        guard let members = try? reader.objectMembers() else { return nil }
        // OpenAI's own form, which some models copy.
        if members.contains(where: { $0.key == "type" }),
            let function = members.last(where: { $0.key == "function" }), case .object = function.value
        {
            return call(object: Array(bytes[function.range]))
        }
        guard case .string(let name) = members.last(where: { $0.key == "name" })?.value, !name.isEmpty else {
            return nil
        }
        guard let given = members.last(where: { $0.key == "arguments" || $0.key == "parameters" }) else {
            return ToolCall(name: name, arguments: "{}")
        }
        switch given.value {
        case .object: return ToolCall(name: name, arguments: trimmed(bytes[given.range]))
        // Arguments that were encoded twice.
        case .string(let text): return arguments(text.utf8).map { ToolCall(name: name, arguments: $0) }
        case .none: return ToolCall(name: name, arguments: "{}")
        default: return nil
        }
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> String {
        let start = bytes.firstIndex { !MarkerSearch.isSpace($0) } ?? bytes.endIndex
        let end = bytes.lastIndex { !MarkerSearch.isSpace($0) } ?? bytes.startIndex
        return start <= end ? String(decoding: bytes[start...end], as: UTF8.self) : ""
    }
}
