/// The methods that values have in templates. Those that would change a list or dictionary in place do not exist:
/// values are immutable here, as they are in the sandbox that templates run in elsewhere.
enum Methods {
    static let ofDictionary: Set<String> = ["items", "keys", "values", "get", "copy"]
    static let ofList: Set<String> = ["index", "count", "copy"]
    static let ofString: Set<String> = [
        "capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "format", "format_map", "index",
        "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle",
        "isupper",
        "join", "ljust", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex",
        "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title",
        "upper", "zfill",
    ]
}

/// Where `center`, `ljust` and `rjust` leave the text.
enum Alignment { case left, center, right }

extension Interpreter {
    func callMethod(_ name: String, _ receiver: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        switch receiver {
        case .string(let text):
            try charge(text)
            return try StringMethods(interpreter: self, name: name, text: text, arguments: arguments).call()
        case .dictionary(let dictionary): return try callMethod(name, dictionary, arguments)
        case .list(let values), .tuple(let values):
            guard name != "copy" else { return receiver }
            guard let wanted = arguments.positional.first else { throw failure("\(name) needs a value") }
            if name == "count" {
                var count = 0
                for value in values where try isEqual(value, wanted) { count += 1 }
                return .int(count)
            }
            guard let index = try firstIndex(of: wanted, in: values) else {
                throw failure("the value is not in the list")
            }
            return .int(index)
        case .loop(let loop):
            let values = arguments.positional
            if name == "cycle" {
                guard !values.isEmpty else { throw failure("cycle needs values") }
                return values[loop.index % values.count]
            }
            let list = try made(values)
            let isSame = try loop.lastChanged.map { last throws(ChatTemplateError) in try isEqual(last, list) } ?? false
            loop.lastChanged = list
            return .bool(!isSame)
        case .cycler(let cycler):
            let value = cycler.values[cycler.index]
            cycler.index = name == "reset" ? 0 : (cycler.index + 1) % cycler.values.count
            return name == "reset" ? .none : value
        default: throw failure("\(receiver.typeName) has no method \(name)")
        }
    }

    private func callMethod(
        _ name: String, _ dictionary: ValueDictionary, _ arguments: CallArguments
    ) throws(ChatTemplateError) -> Value {
        switch name {
        case "items": return try list(try pairs(of: dictionary))
        case "keys": return .list(try elements(of: .dictionary(dictionary)))
        case "values":
            try charge(elements: 4 * dictionary.count)
            return .list(ValueList(dictionary.items.map(\.value), depth: dictionary.depth))
        case "copy": return .dictionary(dictionary)
        default:
            guard let wanted = arguments.positional.first else { throw failure("get needs a key") }
            guard let key = try key(wanted) else {
                if wanted.isUndefined { return arguments.value(1, "default") ?? .none }
                throw failure("\(wanted.typeName) cannot be a dictionary key")
            }
            return dictionary[key] ?? arguments.value(1, "default") ?? .none
        }
    }

    /// `str.replace`, refused before it grows too large.
    func replace(_ text: Text, _ old: Text, _ new: Text, _ limit: Int) throws(ChatTemplateError) -> Text {
        try charge(searchIn: text, for: old)
        let pieces: [Range<Int>]
        if old.isEmpty {
            // The new text stands before every scalar and at the end.
            try charge(charactersOf: text, growth: 8)
            let offsets = PythonString.offsets(text.string)
            let count = min(limit, offsets.count)
            guard count > 0 else { return text }
            var all = [0..<0]
            for index in 1..<max(count, 1) { all.append(offsets[index - 1]..<offsets[index]) }
            all.append(offsets[count - 1]..<text.byteCount)
            pieces = all
        } else {
            pieces = PythonString.split(text.string, old.string, limit: limit)
        }
        try spend(2 * pieces.count)
        try charge(new, times: pieces.count - 1)
        return try join(pieces.map { text[$0] }, new)
    }

    /// The texts of `values` with `separator` between.
    func join(_ values: [Value], _ separator: Text) throws(ChatTemplateError) -> Text {
        try join(try values.map { value throws(ChatTemplateError) in try text(of: value) }, separator)
    }

    func join(_ texts: [Text], _ separator: Text) throws(ChatTemplateError) -> Text {
        var result = Text("")
        for (index, text) in texts.enumerated() {
            if index > 0 {
                try charge(separator)
                result.append(separator)
            }
            try charge(text)
            result.append(text)
            try checked(byteCount: result.size)
        }
        return result
    }

    /// `text` with `fill`, one scalar, around it until it is `width` scalars wide.
    func padded(
        _ text: Text, _ width: Int, _ fill: Text, _ alignment: Alignment
    ) throws(ChatTemplateError) -> Text {
        try charge(text)
        let count = PythonString.count(text.string)
        guard width > count else { return text }
        let missing = width - count
        try charge(fill, times: missing)
        let before: Int
        switch alignment {
        case .left: before = 0
        case .right: before = missing
        // As CPython divides an odd number of fill characters.
        case .center: before = missing / 2 + (missing & width & 1)
        }
        var result = fill.repeated(before)
        result.append(text)
        result.append(fill.repeated(missing - before))
        try checked(byteCount: result.size)
        return result
    }
}
