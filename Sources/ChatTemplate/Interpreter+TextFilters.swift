extension Interpreter {
    /// A filter whose subject is text.
    func textFilter(
        _ filter: FilterName, _ value: Value, _ arguments: CallArguments
    ) throws(ChatTemplateError) -> Value {
        if filter == .safe { return value }
        if filter == .pprint {
            var text = Text("")
            try appendRepresentation(of: value, to: &text, depth: 0)
            return .string(text)
        }
        if filter == .urlencode { return .string(try urlEncode(value)) }
        let text = try text(of: value)
        try charge(text)
        func argument(_ index: Int, _ name: String) throws(ChatTemplateError) -> Text {
            guard let argument = arguments.value(index, name) else { throw failure("\(filter.rawValue) needs \(name)") }
            return try self.text(of: argument)
        }
        switch filter {
        case .upper, .lower, .capitalize, .title:
            // A character becomes up to three.
            try charge(charactersOf: text, growth: 3)
            switch filter {
            case .upper: return .string(text.mapRuns { $0.uppercased() })
            case .lower: return .string(text.mapRuns(PythonString.lower))
            case .capitalize: return .string(PythonString.capitalize(text))
            default: return .string(PythonString.jinjaTitle(text))
            }
        case .trim: return .string(try stripped(text, arguments.value(0, "chars")))
        case .replace:
            let limit = arguments.value(2, "count")?.integer
            return .string(
                try replace(
                    text, try argument(0, "old"), try argument(1, "new"), limit.map { $0 < 0 ? .max : $0 } ?? .max))
        case .indent: return .string(try indent(text, arguments))
        case .escape, .e, .forceescape:
            try charge(charactersOf: text, growth: 5)
            return .string(text.mapRuns(PythonString.htmlEscaped))
        case .format: return .string(try format(text, arguments))
        case .wordcount:
            try spend(text.byteCount)
            return .int(PythonString.wordCount(text.string))
        case .center:
            let width = arguments.value(0, "width")?.integer ?? 80
            return .string(try padded(text, width, Text(" "), .center))
        case .truncate: return .string(try truncate(text, arguments))
        case .wordwrap: return .string(try wordWrap(text, arguments))
        case .striptags:
            try spend(2 * text.byteCount)
            return .string(Text(PythonString.withoutTags(text.string), isUntrusted: text.hasUntrusted))
        default: return .string(text)
        }
    }

    /// `str.strip`, of white space or of the characters of a string.
    func stripped(
        _ text: Text, _ characters: Value?, left: Bool = true, right: Bool = true
    ) throws(ChatTemplateError) -> Text {
        var set: String?
        if case .string(let characters) = characters {
            try spend(2 * characters.byteCount)
            set = characters.string
        }
        let range = PythonString.strip(text.string, set, left: left, right: right)
        try spend((text.byteCount - range.count) / 4)
        return text[range]
    }

    private func format(_ text: Text, _ arguments: CallArguments) throws(ChatTemplateError) -> Text {
        guard !arguments.named.isEmpty else { return try percentFormat(text, try tuple(arguments.positional)) }
        guard arguments.positional.isEmpty else { throw failure("format takes positional or named values, not both") }
        var dictionary = ValueDictionary()
        for (name, value) in arguments.named { dictionary[name] = value }
        return try percentFormat(text, .dictionary(dictionary))
    }

    private func indent(_ text: Text, _ arguments: CallArguments) throws(ChatTemplateError) -> Text {
        let indentation: Text
        if case .string(let text) = arguments.value(0, "width") {
            indentation = text
        } else {
            let width = max(arguments.value(0, "width")?.integer ?? 4, 0)
            try charge(byteCount: width)
            indentation = Text(PythonString.repeated(" ", width))
        }
        let indentsFirst = arguments.value(1, "first")?.isTrue ?? false
        let indentsBlank = arguments.value(2, "blank")?.isTrue ?? false
        // Jinja adds a line break before it splits, so that one at the end is kept.
        var open = text
        open.append("\n")
        try charge(charactersOf: open)
        let lines = PythonString.lines(open.string)
        try spend(2 * lines.count)
        try charge(indentation, times: lines.count)
        var result = indentsFirst ? indentation : Text("")
        for (index, line) in lines.enumerated() {
            if index > 0 {
                result.append("\n")
                if !line.isEmpty || indentsBlank { result.append(indentation) }
            }
            result.append(open[line])
        }
        try checked(byteCount: result.size)
        return result
    }

    private func truncate(_ text: Text, _ arguments: CallArguments) throws(ChatTemplateError) -> Text {
        let length = arguments.value(0, "length")?.integer ?? 255
        let end =
            try arguments.value(2, "end").map { value throws(ChatTemplateError) in try self.text(of: value) } ?? "..."
        let leeway = arguments.value(3, "leeway")?.integer ?? 5
        let endCount = PythonString.count(end.string)
        guard length >= endCount, leeway >= 0 else {
            throw failure("truncate to \(length) characters, which the end fills")
        }
        let count = PythonString.count(text.string)
        // Not their sum: it may not fit.
        guard count > length, count - length > leeway else { return text }
        try charge(searchIn: text, for: end)
        var result = text[0..<PythonString.offset(of: length - endCount, in: text.string)]
        if !(arguments.value(1, "killwords")?.isTrue ?? false),
            let space = PythonString.occurrencesFromRight(of: [0x20], in: result.bytes, limit: 1).first
        {
            result = result[0..<space]
        }
        result.append(end)
        return result
    }

    /// `wordwrap` for text whose words are divided by white space, as Python's `textwrap` does it.
    private func wordWrap(_ text: Text, _ arguments: CallArguments) throws(ChatTemplateError) -> Text {
        let width = arguments.value(0, "width")?.integer ?? 79
        guard width > 0 else { throw failure("wordwrap to a width of \(width)") }
        let breaksWords = arguments.value(1, "break_long_words")?.isTrue ?? true
        let separator: Text
        if case .string(let given) = arguments.value(2, "wrapstring") { separator = given } else { separator = "\n" }
        try charge(charactersOf: text)
        var lines: [Text] = []
        for range in PythonString.lines(text.string) {
            for line in try wrapped(text[range], width, breaksWords) {
                try spend(2)
                lines.append(line)
            }
        }
        return try join(lines, separator)
    }

    private func wrapped(_ line: Text, _ width: Int, _ breaksWords: Bool) throws(ChatTemplateError) -> [Text] {
        try spend(line.byteCount)
        var chunks = PythonString.wrapChunks(line.string).map { chunk in
            (
                range: chunk, count: PythonString.count(line[chunk].string),
                isSpace: PythonString.isSpace(line[chunk].string)
            )
        }[...]
        try spend(4 * chunks.count)
        var lines: [Text] = []
        while !chunks.isEmpty {
            try spend(1)
            // Chunks follow each other, so a line is one range.
            var current: [(range: Range<Int>, count: Int, isSpace: Bool)] = []
            var length = 0
            // White space that would begin a line goes, but for the first.
            if !lines.isEmpty, chunks.first?.isSpace ?? false { chunks.removeFirst() }
            while let chunk = chunks.first, length + chunk.count <= width {
                length += chunk.count
                current.append(chunk)
                chunks.removeFirst()
            }
            if let long = chunks.first, long.count > width {
                if breaksWords {
                    let start = long.range.lowerBound
                    let cut = PythonString.offset(of: width - length, in: line.string, from: start)
                    current.append((start..<cut, width - length, long.isSpace))
                    chunks[chunks.startIndex] = (
                        cut..<long.range.upperBound, long.count - (width - length), long.isSpace
                    )
                } else if current.isEmpty {
                    current.append(long)
                    chunks.removeFirst()
                }
            }
            if current.last?.isSpace ?? false { current.removeLast() }
            guard let first = current.first, let last = current.last else { continue }
            lines.append(line[first.range.lowerBound..<last.range.upperBound])
        }
        return lines.isEmpty ? [Text("")] : lines
    }

    private func urlEncode(_ value: Value) throws(ChatTemplateError) -> Text {
        func encoded(_ value: Value, keepsSlash: Bool) throws(ChatTemplateError) -> Text {
            let text = try text(of: value)
            try charge(charactersOf: text, growth: 3)
            return text.mapRuns { run in
                let encoded = PythonString.percentEncoded(run, keepsSlash: keepsSlash)
                // In a query a space is "+".
                return keepsSlash ? encoded : encoded.replacing("%20", with: "+")
            }
        }
        let pairs: [Value]
        switch value {
        case .dictionary(let dictionary): pairs = try self.pairs(of: dictionary)
        case .list(let values), .tuple(let values): pairs = values.array
        default: return try encoded(value, keepsSlash: true)
        }
        var result = Text("")
        for (index, pair) in pairs.enumerated() {
            try spend(2)
            let parts = try elements(of: pair)
            guard parts.count == 2 else { throw failure("urlencode needs pairs") }
            if index > 0 { result.append("&") }
            result.append(try encoded(parts[0], keepsSlash: false))
            result.append("=")
            result.append(try encoded(parts[1], keepsSlash: false))
            try checked(byteCount: result.size)
        }
        return result
    }
}
