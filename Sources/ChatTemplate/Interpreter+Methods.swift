/// The methods that values have in templates. Those that would change a list or dictionary in place do not exist:
/// values are immutable here, as they are in the sandbox that templates run in elsewhere.
enum Methods {
    static let ofDictionary: Set<String> = ["items", "keys", "values", "get", "copy"]
    static let ofList: Set<String> = ["index", "count", "copy"]
    static let ofString: Set<String> = [
        "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "replace", "upper",
        "lower",
        "title", "capitalize", "find", "rfind", "index", "count", "join", "isdigit", "isnumeric", "isalpha", "isalnum",
        "isspace", "isupper", "islower", "removeprefix", "removesuffix", "zfill", "ljust", "rjust", "format",
    ]
}

extension Interpreter {
    func callMethod(_ name: String, _ receiver: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        switch receiver {
        case .string(let text): return try callMethod(name, text, arguments)
        case .dictionary(let dictionary):
            switch name {
            case "items": return .list(dictionary.items.map { .tuple([$0.key.value, $0.value]) })
            case "keys": return .list(dictionary.keys.map(\.value))
            case "values": return .list(dictionary.items.map(\.value))
            case "copy": return receiver
            default:
                guard let key = arguments.value(0, "key").flatMap(ValueDictionary.Key.init) else {
                    throw failure("get needs a key")
                }
                return dictionary[key] ?? arguments.value(1, "default") ?? .none
            }
        case .list(let values), .tuple(let values):
            guard name != "copy" else { return receiver }
            guard let wanted = arguments.positional.first else { throw failure("\(name) needs a value") }
            if name == "count" { return .int(values.count { Value.equal($0, wanted) }) }
            guard let index = values.firstIndex(where: { Value.equal($0, wanted) }) else {
                throw failure("the value is not in the list")
            }
            return .int(index)
        case .loop(let loop):
            let values = arguments.positional
            if name == "cycle" {
                guard !values.isEmpty else { throw failure("cycle needs values") }
                return values[loop.index % values.count]
            }
            let isSame = loop.lastChanged.map { Value.equal(.list($0), .list(values)) } ?? false
            loop.lastChanged = values
            return .bool(!isSame)
        default: throw failure("\(receiver.typeName) has no method \(name)")
        }
    }

    private func callMethod(
        _ name: String, _ text: String, _ arguments: CallArguments
    ) throws(ChatTemplateError) -> Value {
        func string(_ index: Int, _ argument: String) throws(ChatTemplateError) -> String {
            guard case .string(let value) = arguments.value(index, argument) else {
                throw failure("\(name) needs a string")
            }
            return value
        }
        func optionalString(_ index: Int, _ argument: String) throws(ChatTemplateError) -> String? {
            switch arguments.value(index, argument) {
            case nil, .some(.none): return nil
            case .some(.string(let value)): return value
            default: throw failure("\(name) needs a string")
            }
        }
        func limit(_ index: Int, _ argument: String) throws(ChatTemplateError) -> Int {
            guard let value = arguments.value(index, argument) else { return .max }
            guard let limit = value.integer else { throw failure("\(name) needs an integer") }
            return limit < 0 ? .max : limit
        }
        func affixes() throws(ChatTemplateError) -> [String] {
            guard case .tuple(let values) = arguments.positional.first else { return [try string(0, "prefix")] }
            return try values.map { value throws(ChatTemplateError) in
                guard case .string(let text) = value else { throw failure("\(name) needs strings") }
                return text
            }
        }
        let scalars = text.unicodeScalars
        switch name {
        case "strip": return .string(PythonString.strip(text, try optionalString(0, "chars")))
        case "lstrip": return .string(PythonString.strip(text, try optionalString(0, "chars"), right: false))
        case "rstrip": return .string(PythonString.strip(text, try optionalString(0, "chars"), left: false))
        case "split", "rsplit":
            let limit = try limit(1, "maxsplit")
            guard let separator = try optionalString(0, "sep") else {
                return .list(PythonString.words(text, limit: limit).map(Value.string))
            }
            guard !separator.isEmpty else { throw failure("an empty separator") }
            let pieces =
                name == "split"
                ? PythonString.split(text, separator, limit: limit)
                : PythonString.splitFromRight(text, separator, limit: limit)
            try checked(elements: pieces.count)
            return .list(pieces.map(Value.string))
        case "splitlines": return .list(PythonString.lines(text).map(Value.string))
        case "startswith": return .bool(try affixes().contains { text.utf8.starts(with: $0.utf8) })
        case "endswith": return .bool(try affixes().contains { text.utf8.reversed().starts(with: $0.utf8.reversed()) })
        case "replace":
            return .string(try replace(text, try string(0, "old"), try string(1, "new"), try limit(2, "count")))
        case "upper": return .string(text.uppercased())
        case "lower": return .string(text.lowercased())
        case "title": return .string(PythonString.title(text))
        case "capitalize": return .string(PythonString.capitalize(text))
        case "find", "index":
            let position = PythonString.find(text, try string(0, "sub"))
            guard name == "find" || position != nil else { throw failure("substring not found") }
            return .int(position ?? -1)
        case "rfind":
            let reversed = { (text: String) in String(String.UnicodeScalarView(text.unicodeScalars.reversed())) }
            let part = try string(0, "sub")
            guard let position = PythonString.find(reversed(text), reversed(part)) else { return .int(-1) }
            return .int(scalars.count - position - part.unicodeScalars.count)
        case "count":
            let part = try string(0, "sub")
            if part.isEmpty { return .int(scalars.count + 1) }
            return .int(PythonString.occurrences(of: Array(part.utf8), in: Array(text.utf8)).count)
        case "join":
            guard let values = arguments.positional.first else { throw failure("join needs a list") }
            return .string(try join(try elements(of: values), text))
        case "isdigit", "isnumeric":
            return .bool(!text.isEmpty && scalars.allSatisfy { $0.properties.numericType != nil })
        case "isalpha": return .bool(!text.isEmpty && scalars.allSatisfy { isLetter($0) })
        case "isalnum":
            return .bool(!text.isEmpty && scalars.allSatisfy { isLetter($0) || $0.properties.numericType != nil })
        case "isspace": return .bool(!text.isEmpty && scalars.allSatisfy(\.isPythonSpace))
        case "isupper":
            return .bool(
                scalars.contains { $0.properties.isUppercase } && !scalars.contains { $0.properties.isLowercase })
        case "islower":
            return .bool(
                scalars.contains { $0.properties.isLowercase } && !scalars.contains { $0.properties.isUppercase })
        case "removeprefix":
            let prefix = try string(0, "prefix")
            return .string(
                text.utf8.starts(with: prefix.utf8) ? String(scalars.dropFirst(prefix.unicodeScalars.count)) : text)
        case "removesuffix":
            let suffix = try string(0, "suffix")
            let has = text.utf8.reversed().starts(with: suffix.utf8.reversed())
            return .string(has ? String(scalars.dropLast(suffix.unicodeScalars.count)) : text)
        case "zfill", "ljust", "rjust":
            guard let width = arguments.positional.first?.integer else { throw failure("\(name) needs a width") }
            let fill = name == "zfill" ? "0" : try optionalString(1, "fillchar") ?? " "
            let missing = max(width - scalars.count, 0)
            try checked(byteCount: missing.multipliedReportingOverflow(by: 4).overflow ? .max : missing * 4)
            let padding = String(repeating: fill, count: missing)
            if name == "ljust" { return .string(text + padding) }
            if name == "zfill", let sign = scalars.first, sign == "-" || sign == "+" {
                return .string(String(sign) + padding + String(scalars.dropFirst()))
            }
            return .string(padding + text)
        case "format": return .string(try braceFormat(text, arguments))
        default: throw failure("str has no method \(name)")
        }
    }

    private func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    /// `str.replace`, refused before it grows too large.
    func replace(_ text: String, _ old: String, _ new: String, _ limit: Int) throws(ChatTemplateError) -> String {
        let count =
            old.isEmpty
            ? text.unicodeScalars.count + 1
            : PythonString.occurrences(of: Array(old.utf8), in: Array(text.utf8), limit: limit).count
        let (added, overflow) = min(count, limit).multipliedReportingOverflow(by: new.utf8.count)
        let (total, carry) = added.addingReportingOverflow(text.utf8.count)
        try checked(byteCount: overflow || carry ? .max : total)
        return PythonString.replace(text, old, new, limit: limit)
    }

    /// The texts of `values` with `separator` between.
    func join(_ values: [Value], _ separator: String) throws(ChatTemplateError) -> String {
        var result = ""
        for (index, value) in values.enumerated() {
            if index > 0 { result += separator }
            result += try text(of: value)
            try checked(byteCount: result.utf8.count)
        }
        return result
    }

    /// `str.format` with `{}`, `{0}` and `{name}`, without format specifications.
    private func braceFormat(_ format: String, _ arguments: CallArguments) throws(ChatTemplateError) -> String {
        var result = ""
        var next = 0
        var scalars = format.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            guard scalar == "{" || scalar == "}" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            if scalars.first == scalar {
                scalars.removeFirst()
                result.unicodeScalars.append(scalar)
                continue
            }
            guard scalar == "{", let end = scalars.firstIndex(of: "}") else {
                throw failure("a single brace in a format")
            }
            let field = String(scalars[..<end])
            scalars = scalars[scalars.index(after: end)...]
            let value: Value?
            if field.isEmpty {
                value = arguments.value(next, "")
                next += 1
            } else if let index = Int(field) {
                value = index >= 0 ? arguments.value(index, "") : nil
            } else {
                value = arguments.named.first { $0.name == field }?.value
            }
            guard let value else { throw failure("no value for format field \"\(field)\"") }
            result += try text(of: value)
            try checked(byteCount: result.utf8.count)
        }
        return result
    }
}
