extension Interpreter {
    /// `json.dumps` with the arguments that transformers gives `tojson` in chat templates, in its order.
    func json(_ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Text {
        var style = JSONStyle()
        style.isASCII = arguments.value(0, "ensure_ascii")?.isTrue ?? false
        switch arguments.value(1, "indent") {
        case nil, .some(.none): break
        case .some(.string(let text)):
            guard text.byteCount <= 64 else { throw failure("indent must be at most 64") }
            style.indentation = text.string
        case .some(let value):
            guard let width = value.integer else { throw failure("indent must be an integer, got \(value.typeName)") }
            guard width <= 64 else { throw failure("indent must be at most 64") }
            style.indentation = String(repeating: " ", count: max(width, 0))
        }
        if style.indentation != nil { style.itemSeparator = "," }
        if let given = arguments.value(2, "separators"), case .list(let parts) = asList(given), parts.count == 2 {
            style.itemSeparator = try separator(parts[0])
            style.keySeparator = try separator(parts[1])
        }
        let sorts = arguments.value(3, "sort_keys")?.isTrue ?? false
        var result = Text("")
        try appendJSON(sorts ? try sortedByKeys(value) : value, style, to: &result, depth: 0)
        return result
    }

    private func separator(_ value: Value) throws(ChatTemplateError) -> String {
        let text = try text(of: value)
        guard text.byteCount <= 64 else { throw failure("a separator must be at most 64 bytes") }
        return text.string
    }

    private func asList(_ value: Value) -> Value {
        if case .tuple(let values) = value { .list(values) } else { value }
    }

    private func sortedByKeys(_ value: Value) throws(ChatTemplateError) -> Value {
        switch value {
        case .list(let values): return try list(try sortedByKeys(values))
        case .tuple(let values): return try tuple(try sortedByKeys(values))
        case .dictionary(let dictionary):
            try charge(elements: 4 * dictionary.count)
            var sorted = ValueDictionary()
            let items = dictionary.items
            let order: [Int]
            do {
                order = try items.indices.sorted { try isLess(items[$0].key.value, items[$1].key.value) }
            } catch {
                throw error as? ChatTemplateError ?? failure("the keys cannot be ordered")
            }
            for index in order { sorted[items[index].key] = try sortedByKeys(items[index].value) }
            return try made(sorted)
        default: return value
        }
    }

    private func sortedByKeys(_ values: ValueList) throws(ChatTemplateError) -> [Value] {
        try values.map { value throws(ChatTemplateError) in try sortedByKeys(value) }
    }

    private struct JSONStyle {
        var isASCII = false
        /// nil: everything on one line.
        var indentation: String?
        var itemSeparator = ", "
        var keySeparator = ": "
    }

    private func appendJSON(
        _ value: Value, _ style: JSONStyle, to text: inout Text, depth: Int
    ) throws(ChatTemplateError) {
        guard depth < 64 else { throw failure("a value nested deeper than 64") }
        try checked(byteCount: text.size)
        // With separators and white space around it.
        try spend(4)
        switch value {
        case .undefined(let name): throw failure("\(name) is undefined, so it has no JSON form")
        case .none: text.append("null")
        case .bool(let value): text.append(value ? "true" : "false")
        case .int(let value): text.append(String(value))
        case .double(let value): text.append(PythonNumber.json(value))
        case .string(let value): try appendJSON(value, style, to: &text)
        case .list(let values), .tuple(let values):
            try appendJSON("[", values.count, "]", style, to: &text, depth: depth) {
                (index, text) throws(ChatTemplateError) in
                try appendJSON(values[index], style, to: &text, depth: depth + 1)
            }
        case .dictionary(let dictionary):
            try spend(4 * dictionary.count)
            let items = dictionary.items
            try appendJSON("{", items.count, "}", style, to: &text, depth: depth) {
                (index, text) throws(ChatTemplateError) in
                try appendJSON(try jsonKey(items[index].key, style), style, to: &text)
                text.append(style.keySeparator)
                try appendJSON(items[index].value, style, to: &text, depth: depth + 1)
            }
        case .namespace, .macro, .function, .loop, .cycler, .joiner:
            throw failure("\(value.typeName) has no JSON form")
        }
    }

    private func appendJSON(_ string: Text, _ style: JSONStyle, to text: inout Text) throws(ChatTemplateError) {
        try charge(charactersOf: string, growth: 6)
        text.append("\"")
        text.append(string.mapRuns { PythonString.jsonEscaped($0, isASCII: style.isASCII) })
        text.append("\"")
    }

    private func appendJSON(
        _ open: String, _ count: Int, _ close: String, _ style: JSONStyle, to text: inout Text, depth: Int,
        _ element: (Int, inout Text) throws(ChatTemplateError) -> Void
    ) throws(ChatTemplateError) {
        text.append(open)
        for index in 0..<count {
            if index > 0 { text.append(style.itemSeparator) }
            if let indentation = style.indentation {
                try charge(byteCount: indentation.utf8.count * (depth + 1))
                text.append("\n" + String(repeating: indentation, count: depth + 1))
            }
            try element(index, &text)
        }
        if count > 0, let indentation = style.indentation {
            text.append("\n" + String(repeating: indentation, count: depth))
        }
        text.append(close)
    }

    /// Keys that are no strings are written as JSON, in quotes.
    private func jsonKey(_ key: ValueDictionary.Key, _ style: JSONStyle) throws(ChatTemplateError) -> Text {
        if case .string(let name) = key.value { return name }
        if case .tuple = key.value { throw failure("a tuple cannot be a key in JSON") }
        var text = Text("")
        try appendJSON(key.value, style, to: &text, depth: 0)
        return text
    }
}
