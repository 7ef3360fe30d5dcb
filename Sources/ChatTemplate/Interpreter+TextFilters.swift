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
        try charge(byteCount: text.byteCount)
        func argument(_ index: Int, _ name: String) throws(ChatTemplateError) -> Text {
            guard let argument = arguments.value(index, name) else { throw failure("\(filter.rawValue) needs \(name)") }
            return try self.text(of: argument)
        }
        switch filter {
        case .upper: return .string(text.mapRuns { $0.uppercased() })
        case .lower: return .string(text.mapRuns(PythonString.lower))
        case .capitalize: return .string(PythonString.capitalize(text))
        case .title: return .string(PythonString.jinjaTitle(text))
        case .trim:
            let characters: Text? = if case .string(let set) = arguments.value(0, "chars") { set } else { nil }
            return .string(text[PythonString.strip(text.scalars[...], characters?.string)])
        case .replace:
            let limit = arguments.value(2, "count")?.integer
            return .string(
                try replace(
                    text, try argument(0, "old"), try argument(1, "new"), limit.map { $0 < 0 ? .max : $0 } ?? .max))
        case .indent: return .string(try indent(text, arguments))
        case .escape, .e, .forceescape: return .string(text.mapRuns(PythonString.htmlEscaped))
        case .format: return .string(try format(text, arguments))
        case .wordcount: return .int(PythonString.wordCount(text.string))
        case .center:
            let width = arguments.value(0, "width")?.integer ?? 80
            return .string(try padded(text, width, Text(" "), .center))
        case .truncate: return .string(try truncate(text, arguments))
        case .wordwrap: return .string(try wordWrap(text, arguments))
        case .striptags: return .string(Text(PythonString.withoutTags(text.string), isUntrusted: text.hasUntrusted))
        default: return .string(text)
        }
    }

    private func format(_ text: Text, _ arguments: CallArguments) throws(ChatTemplateError) -> Text {
        guard !arguments.named.isEmpty else { return try percentFormat(text, .tuple(arguments.positional)) }
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
            try checked(byteCount: width)
            indentation = Text(String(repeating: " ", count: width))
        }
        let indentsFirst = arguments.value(1, "first")?.isTrue ?? false
        let indentsBlank = arguments.value(2, "blank")?.isTrue ?? false
        // Jinja adds a line break before it splits, so that one at the end is kept.
        var open = text
        open.append("\n")
        let lines = PythonString.lines(open.string)
        let (bytes, overflow) = lines.count.multipliedReportingOverflow(by: indentation.byteCount + 1)
        try checked(byteCount: overflow ? .max : bytes)
        var result = indentsFirst ? indentation : Text("")
        for (index, line) in lines.enumerated() {
            if index > 0 {
                result.append("\n")
                if !line.isEmpty || indentsBlank { result.append(indentation) }
            }
            result.append(open[line])
        }
        return result
    }

    private func truncate(_ text: Text, _ arguments: CallArguments) throws(ChatTemplateError) -> Text {
        let length = arguments.value(0, "length")?.integer ?? 255
        let end =
            try arguments.value(2, "end").map { value throws(ChatTemplateError) in try self.text(of: value) } ?? "..."
        let leeway = arguments.value(3, "leeway")?.integer ?? 5
        let kept = length - end.scalars.count
        guard kept >= 0, leeway >= 0 else { throw failure("truncate to \(length) characters, which the end fills") }
        let offsets = PythonString.offsets(text.string)
        guard offsets.count - 1 > length + leeway else { return text }
        var result = text[0..<offsets[kept]]
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
        var lines: [Text] = []
        for range in PythonString.lines(text.string) {
            lines += wrapped(text[range], width, breaksWords)
        }
        return try join(lines, separator)
    }

    private func wrapped(_ line: Text, _ width: Int, _ breaksWords: Bool) -> [Text] {
        var chunks = PythonString.wrapChunks(line.string).map { line[$0] }[...]
        var lines: [Text] = []
        while !chunks.isEmpty {
            var current: [Text] = []
            var length = 0
            // White space that would begin a line goes, but for the first.
            if !lines.isEmpty, let first = chunks.first, PythonString.isSpace(first.string) { chunks.removeFirst() }
            while let chunk = chunks.first, length + chunk.scalars.count <= width {
                length += chunk.scalars.count
                current.append(chunk)
                chunks.removeFirst()
            }
            if let long = chunks.first, long.scalars.count > width {
                if breaksWords {
                    let cut = PythonString.offsets(long.string)[width - length]
                    current.append(long[0..<cut])
                    chunks[chunks.startIndex] = long[cut..<long.byteCount]
                } else if current.isEmpty {
                    current.append(long)
                    chunks.removeFirst()
                }
            }
            if let last = current.last, PythonString.isSpace(last.string) { current.removeLast() }
            var text = Text("")
            for chunk in current { text.append(chunk) }
            if !current.isEmpty { lines.append(text) }
        }
        return lines.isEmpty ? [Text("")] : lines
    }

    private func urlEncode(_ value: Value) throws(ChatTemplateError) -> Text {
        func encoded(_ value: Value, keepsSlash: Bool) throws(ChatTemplateError) -> Text {
            try text(of: value).mapRuns { run in
                let encoded = PythonString.percentEncoded(run, keepsSlash: keepsSlash)
                // In a query a space is "+".
                return keepsSlash ? encoded : encoded.replacing("%20", with: "+")
            }
        }
        let pairs: [Value]
        switch value {
        case .dictionary(let dictionary): pairs = dictionary.items.map { .tuple([$0.key.value, $0.value]) }
        case .list(let values), .tuple(let values): pairs = values
        default: return try encoded(value, keepsSlash: true)
        }
        var result = Text("")
        for (index, pair) in pairs.enumerated() {
            let parts = try elements(of: pair)
            guard parts.count == 2 else { throw failure("urlencode needs pairs") }
            if index > 0 { result.append("&") }
            result.append(try encoded(parts[0], keepsSlash: false))
            result.append("=")
            result.append(try encoded(parts[1], keepsSlash: false))
        }
        return result
    }
}
