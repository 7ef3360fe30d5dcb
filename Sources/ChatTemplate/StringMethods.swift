/// One call of a method of a string.
struct StringMethods {
    let interpreter: Interpreter
    let name: String
    let text: Text
    let arguments: CallArguments

    func call() throws(ChatTemplateError) -> Value {
        switch name {
        case "strip": return try strip(left: true, right: true)
        case "lstrip": return try strip(left: true, right: false)
        case "rstrip": return try strip(left: false, right: true)
        case "split", "rsplit": return try split(fromRight: name == "rsplit")
        case "splitlines":
            let keepsEnds = arguments.value(0, "keepends")?.isTrue ?? false
            try interpreter.charge(charactersOf: text)
            return try list(PythonString.lines(text.string, keepsEnds: keepsEnds))
        case "partition", "rpartition": return try partition(fromRight: name == "rpartition")
        case "replace":
            return .string(
                try interpreter.replace(text, try string(0, "old"), try string(1, "new"), try limit(2, "count")))
        case "join":
            guard let values = arguments.positional.first else { throw failure("join needs a list") }
            let elements = try interpreter.elements(of: values).array
            try interpreter.spend(elements.count)
            for element in elements {
                guard case .string = element else { throw failure("join needs strings, got \(element.typeName)") }
            }
            return .string(try interpreter.join(elements, text))
        case "removeprefix", "removesuffix": return try removeAffix()
        case "zfill", "ljust", "rjust", "center": return try padded()
        case "format": return .string(try interpreter.braceFormat(text, arguments))
        case "format_map":
            guard case .dictionary(let dictionary) = arguments.positional.first else { throw failure("needs a dict") }
            var named = CallArguments()
            try interpreter.charge(elements: 4 * dictionary.count)
            for (key, value) in dictionary.items {
                if case .string(let name) = key.value { named.named.append((name.string, value)) }
            }
            return .string(try interpreter.braceFormat(text, named))
        case "startswith", "endswith", "find", "rfind", "index", "rindex", "count": return try search()
        default: return try changeOrCheck()
        }
    }

    private func failure(_ message: String) -> ChatTemplateError { interpreter.failure(message) }

    // MARK: - Arguments

    private func string(_ index: Int, _ argument: String) throws(ChatTemplateError) -> Text {
        guard case .string(let value) = arguments.value(index, argument) else {
            throw failure("\(name) needs a string")
        }
        return value
    }

    private func optionalString(_ index: Int, _ argument: String) throws(ChatTemplateError) -> Text? {
        switch arguments.value(index, argument) {
        case nil, .some(.none): return nil
        case .some(.string(let value)): return value
        default: throw failure("\(name) needs a string")
        }
    }

    private func limit(_ index: Int, _ argument: String) throws(ChatTemplateError) -> Int {
        guard let value = arguments.value(index, argument) else { return .max }
        guard let limit = value.integer else { throw failure("\(name) needs an integer") }
        return limit < 0 ? .max : limit
    }

    // MARK: - Pieces

    private func list(_ ranges: [Range<Int>]) throws(ChatTemplateError) -> Value {
        // Each is a string of its own, with a mark of its own.
        try interpreter.spend(ranges.count * (text.hasUntrusted ? 4 : 2))
        return try interpreter.list(ranges.map { .string(text[$0]) })
    }

    private func strip(left: Bool, right: Bool) throws(ChatTemplateError) -> Value {
        let characters = try optionalString(0, "chars").map(Value.string)
        return .string(try interpreter.stripped(text, characters, left: left, right: right))
    }

    private func split(fromRight: Bool) throws(ChatTemplateError) -> Value {
        let limit = try limit(1, "maxsplit")
        guard let separator = try optionalString(0, "sep") else {
            try interpreter.charge(charactersOf: text)
            return try list(
                fromRight
                    ? PythonString.wordsFromRight(text.string, limit: limit)
                    : PythonString.words(text.string, limit: limit))
        }
        guard !separator.isEmpty else { throw failure("an empty separator") }
        try interpreter.charge(searchIn: text, for: separator)
        return try list(
            fromRight
                ? PythonString.splitFromRight(text.string, separator.string, limit: limit)
                : PythonString.split(text.string, separator.string, limit: limit))
    }

    private func partition(fromRight: Bool) throws(ChatTemplateError) -> Value {
        let separator = try string(0, "sep")
        guard !separator.isEmpty else { throw failure("an empty separator") }
        try interpreter.charge(searchIn: text, for: separator)
        let found =
            fromRight
            ? PythonString.occurrencesFromRight(of: separator.bytes, in: text.bytes, limit: 1)
            : PythonString.occurrences(of: separator.bytes, in: text.bytes, limit: 1)
        guard let position = found.first else {
            let parts: [Text] = fromRight ? ["", "", text] : [text, "", ""]
            return try interpreter.tuple(parts.map(Value.string))
        }
        let end = position + separator.byteCount
        return try interpreter.tuple(
            [text[0..<position], text[position..<end], text[end..<text.byteCount]].map(Value.string))
    }

    private func removeAffix() throws(ChatTemplateError) -> Value {
        if name == "removeprefix" {
            let prefix = try string(0, "prefix")
            guard text.string.utf8.starts(with: prefix.string.utf8) else { return .string(text) }
            return .string(text[prefix.byteCount..<text.byteCount])
        }
        let suffix = try string(0, "suffix")
        guard text.string.utf8.reversed().starts(with: suffix.string.utf8.reversed()) else { return .string(text) }
        return .string(text[0..<text.byteCount - suffix.byteCount])
    }

    private func padded() throws(ChatTemplateError) -> Value {
        guard let width = arguments.value(0, "width")?.integer else { throw failure("\(name) needs a width") }
        if name == "zfill" {
            let hasSign = text.string.utf8.first.map { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") } ?? false
            let signLength = hasSign ? 1 : 0
            var result = text[0..<signLength]
            result.append(
                try interpreter.padded(text[signLength..<text.byteCount], max(width, 1) - signLength, "0", .right))
            return .string(result)
        }
        let fill = try optionalString(1, "fillchar") ?? " "
        guard fill.scalars.count == 1 else { throw failure("the fill character must be one character") }
        let alignment: Alignment = name == "ljust" ? .left : name == "rjust" ? .right : .center
        return .string(try interpreter.padded(text, width, fill, alignment))
    }

    // MARK: - Searching

    /// The part of the text that the arguments `start` and `end` leave, with its first scalar's index.
    private func window() throws(ChatTemplateError) -> (part: Text, start: Int)? {
        func bound(_ index: Int) throws(ChatTemplateError) -> Int? {
            guard index < arguments.positional.count, !arguments.positional[index].isNone else { return nil }
            guard let bound = arguments.positional[index].integer else { throw failure("\(name) needs integers") }
            return bound
        }
        guard arguments.positional.count > 1 else { return (text, 0) }
        try interpreter.spend(text.byteCount / 16)
        let count = PythonString.count(text.string)
        func position(_ bound: Int) -> Int { bound < 0 ? max(bound + count, 0) : bound }
        let start = position(try bound(1) ?? 0)
        let end = min(position(try bound(2) ?? count), count)
        guard start <= end else { return nil }
        let first = PythonString.offset(of: start, in: text.string)
        return (text[first..<PythonString.offset(of: end - start, in: text.string, from: first)], start)
    }

    private func search() throws(ChatTemplateError) -> Value {
        let isAffix = name == "startswith" || name == "endswith"
        guard let (part, start) = try window() else {
            if isAffix { return .bool(false) }
            guard !name.hasSuffix("index") else { throw failure("substring not found") }
            return .int(name == "count" ? 0 : -1)
        }
        if isAffix {
            let affixes: [Text]
            if case .tuple(let values) = arguments.positional.first {
                try interpreter.spend(values.count)
                affixes = try values.map { value throws(ChatTemplateError) in
                    guard case .string(let text) = value else { throw failure("\(name) needs strings") }
                    return text
                }
            } else {
                affixes = [try string(0, "prefix")]
            }
            for affix in affixes { try interpreter.charge(byteCount: min(affix.byteCount, part.byteCount)) }
            let utf8 = part.string.utf8
            return .bool(
                affixes.contains { affix in
                    name == "startswith"
                        ? utf8.starts(with: affix.string.utf8)
                        : utf8.reversed().starts(with: affix.string.utf8.reversed())
                })
        }
        let sub = try string(0, "sub")
        try interpreter.charge(searchIn: part, for: sub)
        let wanted = sub.bytes
        let bytes = part.bytes
        if name == "count" {
            return .int(
                wanted.isEmpty
                    ? part.scalars.count + 1 : PythonString.occurrences(of: wanted, in: bytes).count)
        }
        let found =
            name.hasPrefix("r")
            ? PythonString.occurrencesFromRight(of: wanted, in: bytes, limit: 1)
            : PythonString.occurrences(of: wanted, in: bytes, limit: 1)
        guard let position = found.first else {
            guard !name.hasSuffix("index") else { throw failure("substring not found") }
            return .int(-1)
        }
        return .int(start + bytes[..<position].count { $0 & 0xC0 != 0x80 })
    }

    // MARK: - Changing and checking

    private func changeOrCheck() throws(ChatTemplateError) -> Value {
        // A character becomes up to three, and its properties are asked for.
        try interpreter.charge(charactersOf: text, growth: 3)
        try interpreter.spend(text.byteCount / 2)
        let scalars = text.scalars
        let isEmpty = scalars.isEmpty
        let hasTitle = scalars.contains { $0.properties.generalCategory == .titlecaseLetter }
        let hasUpper = scalars.contains { $0.properties.isUppercase }
        let hasLower = scalars.contains { $0.properties.isLowercase }
        switch name {
        case "upper": return .string(text.mapRuns { $0.uppercased() })
        case "lower": return .string(text.mapRuns(PythonString.lower))
        case "casefold": return .string(text.mapRuns { PythonString.lower($0).replacing("ß", with: "ss") })
        case "swapcase": return .string(text.mapRuns(PythonString.swapCase))
        case "title": return .string(PythonString.title(text))
        case "capitalize": return .string(PythonString.capitalize(text))
        case "expandtabs": return .string(try expandTabs())
        case "isdecimal":
            return .bool(!isEmpty && scalars.allSatisfy { $0.properties.generalCategory == .decimalNumber })
        case "isdigit":
            return .bool(
                !isEmpty
                    && scalars.allSatisfy {
                        $0.properties.numericType == .decimal || $0.properties.numericType == .digit
                    })
        case "isnumeric": return .bool(!isEmpty && scalars.allSatisfy { $0.properties.numericType != nil })
        case "isalpha": return .bool(!isEmpty && scalars.allSatisfy(PythonString.isLetter))
        case "isalnum": return .bool(!isEmpty && scalars.allSatisfy(PythonString.isAlphanumeric))
        case "isascii": return .bool(scalars.allSatisfy(\.isASCII))
        case "isspace": return .bool(!isEmpty && scalars.allSatisfy(\.isPythonSpace))
        case "isupper": return .bool(hasUpper && !hasLower && !hasTitle)
        case "islower": return .bool(hasLower && !hasUpper && !hasTitle)
        case "istitle": return .bool((hasUpper || hasLower || hasTitle) && PythonString.title(text) == text)
        default: throw failure("str has no method \(name)")
        }
    }

    private func expandTabs() throws(ChatTemplateError) -> Text {
        let size = arguments.value(0, "tabsize")?.integer ?? 8
        try interpreter.checked(byteCount: max(size, 0))
        var result = Text("")
        var column = 0
        for (run, isUntrusted) in text.runs {
            for scalar in run.unicodeScalars {
                if scalar == "\t" {
                    let width = size > 0 ? size - column % size : 0
                    try interpreter.charge(byteCount: width)
                    result.append(PythonString.repeated(" ", width), isUntrusted: isUntrusted)
                    column += width
                    try interpreter.checked(byteCount: result.byteCount)
                } else {
                    result.append(String(scalar), isUntrusted: isUntrusted)
                    column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
                }
            }
        }
        return result
    }
}
